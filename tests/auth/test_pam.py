"""PAM for real: users, passwords and service files of this host."""

import json
import os
import select
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from auth import pam
from auth.services import service_exists
from tests.accounts import Account, account, pam_service

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("pam_questions.py")
START = """
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def user() -> Iterator[Account]:
    with account() as made:
        yield made


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with pam_service() as name:
        yield name


@pytest.fixture(scope="module")
def quick() -> Iterator[str]:
    with pam_service("auth required pam_unix.so nodelay", "account required pam_unix.so") as name:
        yield name


def ask(
    service: str, *questions: tuple[str, str, str, float | None], limit: float = 20
) -> list[list[object]]:
    words = [sys.executable, "-IB", "-c", START, str(ROOT), str(DRIVER), service, str(limit)]
    run = subprocess.run(
        words, input=json.dumps(questions), text=True, capture_output=True, check=True, timeout=60
    )
    assert run.stderr == ""
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert answers.pop() == ["left", [], ""]
    assert len(answers) == len(questions)
    return answers


def verdict(service: str, user: str, password: str) -> list[object]:
    return ask(service, ("it", user, password, None))[0][1:]


def test_the_right_password_is_accepted(quick: str, user: Account) -> None:
    assert verdict(quick, user.name, user.password) == [True, "accepted"]


def refused(service: str, tried: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Which of these users and passwords are refused."""
    answers = ask(service, *((str(number), *each, None) for number, each in enumerate(tried)))
    numbers = sorted(int(str(number)) for number, accepted, _ in answers if accepted is False)
    return [tried[number] for number in numbers]


WRONG = (
    "",
    "x",
    "right horse, wrong battery:",
    "right horse, wrong battery: §\0",
    "x" * 1025,
    "§" * 512,
    "\udc80",
)


def test_a_wrong_password_is_refused(quick: str, user: Account) -> None:
    tried = [(user.name, wrong) for wrong in WRONG]
    assert refused(quick, tried) == tried


UNKNOWN = ("", "nobody-of-that-name", "-", "a b", "a\nb", "a\0b", "x" * 256, "é", "root\0")


def test_an_unknown_user_is_refused(quick: str, user: Account) -> None:
    tried = [(name, user.password) for name in UNKNOWN]
    assert refused(quick, tried) == tried


def test_an_expired_account_is_refused_with_the_right_password(quick: str) -> None:
    with account(expired=True) as gone:
        accepted, reason = verdict(quick, gone.name, gone.password)
    assert accepted is False
    assert "expired" in str(reason)


def test_a_name_in_another_case_is_refused(quick: str, user: Account) -> None:
    assert verdict(quick, user.name.upper(), user.password)[0] is False
    assert verdict(quick, user.name.capitalize(), user.password)[0] is False


def test_a_name_that_the_password_database_does_not_give_back_is_refused(user: Account) -> None:
    with pam_service("auth required pam_permit.so", "account required pam_permit.so") as lenient:
        assert verdict(lenient, user.name, "anything")[0] is True
        assert verdict(lenient, user.name, "")[0] is False
        accepted, reason = verdict(lenient, user.name.upper(), "anything")
    assert accepted is False
    assert "password database" in str(reason)


def test_nobody_waits_for_another_users_wrong_password(service: str, user: Account) -> None:
    with account() as other:
        answers = ask(
            service,
            *((f"wrong {number}", user.name, "x", None) for number in range(pam.AT_ONCE_PER_USER + 1)),
            ("right", other.name, other.password, None),
        )
    assert [answer[:2] for answer in answers[:1]] == [["right", True]]
    assert [answer[1] for answer in answers[1:]] == [False] * (pam.AT_ONCE_PER_USER + 1)


def test_what_takes_too_long_is_killed() -> None:
    with pam_service("auth required pam_exec.so /bin/sleep 5", "account required pam_permit.so") as slow:
        ((_, accepted, reason),) = ask(slow, ("it", "root", "x", None), limit=0.3)
    assert accepted is None
    assert "0.3 seconds" in str(reason)


def test_giving_up_kills_what_was_asked() -> None:
    with pam_service("auth required pam_exec.so /bin/sleep 5", "account required pam_permit.so") as slow:
        assert ask(slow, ("it", "root", "x", 0.3)) == [["it", None, "given up"]]


def test_the_password_is_not_in_any_environment_or_command_line(user: Account) -> None:
    script = "tr '\\0' '\\n' < /proc/$PPID/cmdline > {0}; env >> {0}"
    target = Path(f"/tmp/cw-test-{uuid.uuid4().hex}")
    try:
        with pam_service(
            f"auth required pam_exec.so /bin/sh -c [{script.format(target)}]",
            "account required pam_permit.so",
        ) as curious:
            verdict(curious, user.name, user.password)
        seen = target.read_text()
    finally:
        target.unlink(missing_ok=True)
    assert f"PAM_USER={user.name}" in seen
    assert user.password not in seen


def test_a_missing_service_is_an_error() -> None:
    assert not service_exists("cw-no-such-service")
    with pytest.raises(pam.PamError, match=r"/etc/pam\.d/cw-no-such-service is missing"):
        pam.require("cw-no-such-service")


@pytest.mark.parametrize("name", ["", ".", "..", "../passwd", "a/b", "a\nb", ".hidden"])
def test_a_service_is_a_name_and_no_path(name: str) -> None:
    assert not service_exists(name)


def test_without_the_spawner_there_is_no_verdict() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import os, signal, trio\n"
        "from functools import partial\n"
        "from auth import pam\n"
        "from net import spawner\n"
        "checker = pam.Pam(spawner.start(partial(pam.answer, sys.argv[1])))\n"
        "forker = int(open(f'/proc/self/task/{os.getpid()}/children').read())\n"
        "os.kill(forker, signal.SIGKILL); os.waitpid(forker, 0)\n"
        "try: trio.run(checker.check, 'root', 'x')\n"
        "except pam.PamError as error: print(error)\n"
    )
    with pam_service() as service:
        run = subprocess.run(
            [sys.executable, "-IB", "-c", code, service],
            text=True,
            capture_output=True,
            check=True,
            timeout=60,
        )
    assert run.stdout == "the process that checks passwords cannot be reached: Broken pipe\n"


def test_the_spawner_ends_with_the_broker(quick: str) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import os, signal\n"
        "from functools import partial\n"
        "from auth import pam\n"
        "from net import spawner\n"
        "checker = pam.Pam(spawner.start(partial(pam.answer, sys.argv[1])))\n"
        "print(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.Popen([sys.executable, "-IB", "-c", code, quick], stdout=subprocess.PIPE, text=True)
    with run:
        assert run.stdout is not None
        ended = os.pidfd_open(int(run.stdout.readline()))
    try:
        assert select.select([ended], [], [], 20)[0] == [ended]
    finally:
        os.close(ended)


def test_the_service_file_that_ships_works_here(user: Account) -> None:
    lines = (ROOT / "conf/pam.d/clockwork").read_text().splitlines()
    with pam_service(*lines) as shipped:
        assert verdict(shipped, user.name, user.password) == [True, "accepted"]
        assert verdict(shipped, user.name, "x")[0] is False
