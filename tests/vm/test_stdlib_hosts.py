"""Host resources on an /etc/hosts of the test's, through the real Augeas library."""

from pathlib import Path

import pytest

from host.augeas import LocalAugeas
from tests.vm.resources import ThisHost, call, enforce, refused, refuses, settles, stays

HOSTS = """\
# kept as it is
127.0.0.1\tlocalhost
::1   localhost ip6-localhost
10.0.0.1 web01 www   # in front
10.0.0.2 db01
10.0.0.3 db01.example.com db01 db
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hosts").write_text(HOSTS)
    return tmp_path


def at(root: Path) -> str:
    return f'pragma augeas.root "{root}"'


def host(name: str, ip: str, *aliases: str, exactly: bool = True) -> list[str]:
    return [
        call("res.host.present", name, ip),
        *[call("res.host.alias", name, ip, n, alias) for n, alias in enumerate(aliases, 1)],
        *([call("res.host.aliases", name, ip, len(aliases))] if exactly else []),
        call("res.host.save"),
    ]


CHANGES = [
    (host("new", "10.0.0.9"), HOSTS + "10.0.0.9\tnew\n"),
    (host("new", "fe80::1", "n", "m"), HOSTS + "fe80::1\tnew n m\n"),
    (host("web01", "10.0.0.9", "www"), HOSTS.replace("10.0.0.1 web01", "10.0.0.9 web01")),
    (host("web01", "10.0.0.1", "web"), HOSTS.replace("www", "web")),
    (host("web01", "10.0.0.1", "www", "web"), HOSTS.replace("www ", "www web ")),
    (host("web01", "10.0.0.1"), HOSTS.replace(" www", "")),
    (host("web01", "10.0.0.9", exactly=False), HOSTS.replace("10.0.0.1 web01", "10.0.0.9 web01")),
    (host("localhost", "::1"), HOSTS.replace(" ip6-localhost", "")),
    (host("db", "10.0.0.3"), HOSTS + "10.0.0.3\tdb\n"),
    ([call("res.host.absent", "web01")], HOSTS.replace("10.0.0.1 web01 www   # in front\n", "")),
    (
        [call("res.host.absent", "localhost")],
        HOSTS.replace("127.0.0.1\tlocalhost\n::1   localhost ip6-localhost\n", ""),
    ),
]


@pytest.mark.parametrize(("calls", "after"), CHANGES)
def test_lines_are_brought_about(root: Path, calls: list[str], after: str) -> None:
    settles(root, *calls, pragmas=at(root))
    assert (root / "etc" / "hosts").read_text() == after


SAME = [
    host("web01", "10.0.0.1", "www"),
    host("web01", "10.0.0.1", exactly=False),
    host("localhost", "127.0.0.1"),
    host("localhost", "::1", "ip6-localhost"),
    [call("res.host.absent", "www")],
    [call("res.host.absent", "")],
]


@pytest.mark.parametrize("calls", SAME)
def test_lines_that_are_right_are_left_alone(root: Path, calls: list[str]) -> None:
    stays(root, *calls, pragmas=at(root))


def test_a_file_that_is_not_there_is_made(root: Path) -> None:
    (root / "etc" / "hosts").unlink()
    stays(root, call("res.host.absent", "new"), pragmas=at(root))
    settles(root, *host("new", "10.0.0.9"), pragmas=at(root))
    assert (root / "etc" / "hosts").read_text() == "10.0.0.9\tnew\n"


def test_a_name_is_no_expression(root: Path) -> None:
    stays(root, call("res.host.absent", "x' or '1'='1"), pragmas=at(root))
    settles(root, *host("x'or'1'='1", "10.0.0.9", "%[z]s"), pragmas=at(root))
    assert (root / "etc" / "hosts").read_text() == HOSTS + "10.0.0.9\tx'or'1'='1 %[z]s\n"


def test_a_resource_that_failed_leaves_nothing_to_the_next(root: Path) -> None:
    calls = [call("res.host.present", "new", "10.0.0.9"), call("res.host.alias", "other", "10.0.0.9", 1, "a")]
    refuses(root, "/etc/hosts has no line for it with the address 10.0.0.9", *calls, pragmas=at(root))
    assert enforce(*calls[:1], *host("web01", "10.0.0.1", "www"), pragmas=at(root)).changed is False
    assert (root / "etc" / "hosts").read_text() == HOSTS


def test_several_lines_and_none_that_is_right(root: Path) -> None:
    refuses(
        root,
        "/etc/hosts has several lines for it, none with the address 10.0.0.9",
        *host("localhost", "10.0.0.9"),
        pragmas=at(root),
    )


@pytest.mark.parametrize(
    ("calls", "beginning"),
    [
        (host("two words", "10.0.0.9"), "cannot write /etc/hosts: /etc/hosts: put_failed"),
        (host("new", "10.0.0.9", "two words"), "cannot write /etc/hosts: /etc/hosts: put_failed"),
    ],
)
def test_what_no_line_can_hold(root: Path, calls: list[str], beginning: str) -> None:
    found = enforce(*calls, pragmas=at(root))
    assert (found.status, found.changed) == (1, False)
    assert found.errors.startswith(f"thing:x: {beginning}")
    assert (root / "etc" / "hosts").read_text() == HOSTS


def test_a_file_that_augeas_cannot_read(root: Path) -> None:
    (root / "etc" / "hosts").write_text("lonely\n")
    found = enforce(*host("new", "10.0.0.9"), pragmas=at(root))
    assert (found.status, found.changed) == (1, False)
    assert found.errors.startswith("thing:x: cannot read /etc/hosts: ")
    assert (root / "etc" / "hosts").read_text() == "lonely\n"


def test_a_host_without_augeas(root: Path) -> None:
    bare = ThisHost()
    bare.augeas = LocalAugeas("libnone.so.0")
    assert enforce(*host("new", "10.0.0.9"), host=bare, pragmas=at(root)) == refused(
        "cannot read /etc/hosts: Augeas is not on this host "
        "(expected: libnone.so.0, in Debian the package libaugeas0)"
    )
