"""Package, service and exec resources: the first two on a system of the test's, commands for real."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from host.programs import LocalPrograms
from tests.vm.resources import ThisHost, call, enforce, refused, refuses, settles, stays
from vm.host.programs import Order, Sink


class System:
    """Stands for `cw localsys` on a host with packages and services; other programs run for real.

    A verb in `fails` ends with the status given there and does nothing; one in `lies` does nothing either.
    """

    def __init__(
        self,
        packages: dict[str, str] | None = None,
        running: set[str] | None = None,
        enabled: set[str] | None = None,
    ) -> None:
        self.packages = packages or {}
        self.running = running or set()
        self.enabled = enabled or set()
        self.offers = "2.0-1"
        self.fails: dict[str, int] = {}
        self.lies: set[str] = set()
        self.orders: list[tuple[str, ...]] = []

    def run(self, order: Order, output: Sink, errors: Sink, heed: Callable[[], None]) -> int:
        if not order.of_cw:
            return LocalPrograms().run(order, output, errors, heed)
        role, verb, *words = map(os.fsdecode, order.words)
        assert role == "localsys"
        self.orders.append((verb, *words))
        if verb in self.fails:
            return self.fails[verb]
        status, line = (0, "") if verb in self.lies else getattr(self, verb.replace("-", "_"))(*words)
        output(line.encode() + b"\nmore\n")
        return status

    def pkg_version(self, name: str) -> tuple[int, str]:
        return (0, self.packages[name]) if name in self.packages else (1, "")

    def pkg_latest(self, name: str) -> tuple[int, str]:
        return 0, self.offers

    def pkg_install(self, name: str, version: str = "") -> tuple[int, str]:
        if not self.packages.get(name, "").startswith(version or self.offers):
            self.packages[name] = version or self.offers
        return 0, self.packages[name]

    def pkg_remove(self, name: str) -> tuple[int, str]:
        self.packages.pop(name, None)
        return 0, ""

    def svc_run_status(self, name: str) -> tuple[int, str]:
        return (0, "running") if name in self.running else (1, "stopped")

    def svc_boot_status(self, name: str) -> tuple[int, str]:
        return (0, "enabled") if name in self.enabled else (1, "disabled")

    def svc_init(self, name: str, action: str) -> tuple[int, str]:
        (self.running.discard if action == "stop" else self.running.add)(name)
        return 0, ""

    def svc_enable(self, name: str) -> tuple[int, str]:
        self.enabled.add(name)
        return 0, ""

    def svc_disable(self, name: str) -> tuple[int, str]:
        self.enabled.discard(name)
        return 0, ""

    @property
    def changes(self) -> list[tuple[str, ...]]:
        """The orders that were more than questions."""
        asks = ("pkg-version", "pkg-latest", "svc-run-status", "svc-boot-status")
        return [order for order in self.orders if order[0] not in asks]


def on(system: System) -> ThisHost:
    host = ThisHost()
    host.programs = system
    return host


NAME = "odd name; 50%[z]s"

SETTLED = [
    ("res.package.installed", ["any"], {}, [("pkg-install", NAME)]),
    ("res.package.installed", ["latest"], {}, [("pkg-install", NAME, "2.0-1")]),
    ("res.package.installed", ["1.0-1"], {}, [("pkg-install", NAME, "1.0-1")]),
    ("res.package.installed", ["latest"], {"packages": {NAME: "1"}}, [("pkg-install", NAME, "2.0-1")]),
    ("res.package.installed", ["1.0-1"], {"packages": {NAME: "2"}}, [("pkg-install", NAME, "1.0-1")]),
    ("res.service.running", [], {}, [("svc-init", NAME, "start")]),
    ("res.service.stopped", [], {"running": {NAME}}, [("svc-init", NAME, "stop")]),
    ("res.service.enabled", [], {}, [("svc-enable", NAME)]),
    ("res.service.disabled", [], {"enabled": {NAME}}, [("svc-disable", NAME)]),
]


@pytest.mark.parametrize(("function", "arguments", "before", "orders"), SETTLED)
def test_a_state_is_brought_about_once(
    tmp_path: Path, function: str, arguments: list[str], before: dict[str, dict[str, str]], orders: object
) -> None:
    system = System(**before)  # type: ignore[arg-type]  # a table of keyword arguments
    settles(tmp_path, call(function, NAME, *arguments), host=on(system))
    assert system.changes == orders


SAME = [
    ("res.package.installed", ["any"], {"packages": {NAME: "1"}}),
    ("res.package.installed", ["latest"], {"packages": {NAME: "2.0-1"}}),
    ("res.package.installed", ["1.0-1"], {"packages": {NAME: "1.0-1"}}),
    ("res.service.running", [], {"running": {NAME}}),
    ("res.service.stopped", [], {"running": {"other"}}),
    ("res.service.enabled", [], {"enabled": {NAME}}),
    ("res.service.disabled", [], {"enabled": {"other"}}),
    ("res.service.notify", ["restart"], {}),
]


@pytest.mark.parametrize(("function", "arguments", "before"), SAME)
def test_a_state_that_holds_is_left_alone(
    tmp_path: Path, function: str, arguments: list[str], before: dict[str, dict[str, str]]
) -> None:
    system = System(**before)  # type: ignore[arg-type]  # a table of keyword arguments
    stays(tmp_path, call(function, NAME, *arguments), host=on(system))
    assert system.changes == []


def test_a_package_is_removed_once(tmp_path: Path) -> None:
    system = System(packages={NAME: "1", "other": "1"})
    settles(tmp_path, call("res.package.absent", NAME), host=on(system))
    assert system.packages == {"other": "1"}


def test_a_version_that_stands_for_those_that_begin_with_it(tmp_path: Path) -> None:
    system = System(packages={NAME: "1.0-1"})
    stays(tmp_path, call("res.package.installed", NAME, "1.0"), host=on(system))


@pytest.mark.parametrize("what", ["restart", "reload"])
def test_a_running_service_is_notified_each_time(what: str) -> None:
    system = System(running={"nginx"})
    for _ in range(2):
        assert enforce(call("res.service.notify", "nginx", what), host=on(system)).changed
    assert system.changes == [("svc-init", "nginx", what)] * 2


def test_a_service_that_is_notified_and_to_run_is_started_once(tmp_path: Path) -> None:
    system = System()
    calls = [call("res.service.notify", "nginx", "restart"), call("res.service.running", "nginx")]
    assert enforce(*calls, host=on(system)).changed
    assert system.changes == [("svc-init", "nginx", "start")]


INSTALLED = {"packages": {"x": "1"}}
RUNNING = {"running": {"x"}}
ENABLED = {"enabled": {"x"}}
LOOKUP = "cannot find out whether the package is installed"
STATUS = "cannot find out whether the service runs"
AT_BOOT = "cannot find out whether the service is started at boot"
NOT_AT_BOOT = "cannot keep the service from being started at boot"

FAILURES = [
    ("res.package.installed", ["any"], {}, "pkg-version", 126, LOOKUP),
    ("res.package.installed", ["any"], {}, "pkg-install", 1, "cannot install the package"),
    ("res.package.installed", ["latest"], {}, "pkg-latest", 1, "cannot find out the latest version"),
    ("res.package.installed", ["1"], {}, "pkg-install", 1, "cannot install the package"),
    ("res.package.installed", ["2"], INSTALLED, "pkg-install", 1, "cannot install the package"),
    ("res.package.absent", [], {}, "pkg-version", 125, LOOKUP),
    ("res.package.absent", [], {}, "pkg-remove", 1, "cannot remove the package"),
    ("res.package.absent", [], INSTALLED, "pkg-remove", 1, "cannot remove the package"),
    ("res.service.running", [], {}, "svc-run-status", 126, STATUS),
    ("res.service.running", [], {}, "svc-run-status", 1, STATUS),
    ("res.service.running", [], {}, "svc-init", 1, "cannot start the service"),
    ("res.service.running", [], {}, "svc-init", None, "the service was started, but does not run"),
    ("res.service.stopped", [], RUNNING, "svc-run-status", 1, STATUS),
    ("res.service.stopped", [], RUNNING, "svc-init", 1, "cannot stop the service"),
    ("res.service.stopped", [], RUNNING, "svc-init", None, "the service was stopped, but still runs"),
    ("res.service.notify", ["reload"], RUNNING, "svc-run-status", 1, STATUS),
    ("res.service.notify", ["reload"], RUNNING, "svc-init", 1, "cannot reload the service"),
    ("res.service.enabled", [], {}, "svc-boot-status", 1, AT_BOOT),
    ("res.service.enabled", [], {}, "svc-enable", 1, "cannot have the service started at boot"),
    ("res.service.disabled", [], {}, "svc-boot-status", 126, AT_BOOT),
    ("res.service.disabled", [], ENABLED, "svc-disable", 1, NOT_AT_BOOT),
]


@pytest.mark.parametrize(("function", "arguments", "before", "verb", "status", "sentence"), FAILURES)
def test_a_system_that_fails(
    function: str,
    arguments: list[str],
    before: dict[str, dict[str, str]],
    verb: str,
    status: int | None,
    sentence: str,
) -> None:
    system = System(**before)  # type: ignore[arg-type]  # a table of keyword arguments
    if status is None:
        system.lies.add(verb)
    else:
        system.fails[verb] = status
    assert enforce(call(function, "x", *arguments), host=on(system)) == refused(sentence)


# -- commands


def test_a_command_runs_each_time(tmp_path: Path) -> None:
    for _ in range(2):
        assert enforce(call("res.exec.run", f"echo ran >> {tmp_path}/log", "", None, None)).changed
    assert (tmp_path / "log").read_text() == "ran\nran\n"


def test_a_command_runs_while_its_test_says_so(tmp_path: Path) -> None:
    made = tmp_path / "made"
    settles(tmp_path, call("res.exec.run", f"touch {made}", f"test ! -e {made}", None, None))
    assert made.exists()


def test_a_command_that_fails(tmp_path: Path) -> None:
    refuses(
        tmp_path,
        "the command ended with 3 (expected: 0)",
        call("res.exec.run", "echo no; exit 3", "true", None, None),
    )


def test_a_command_is_no_format(tmp_path: Path) -> None:
    assert enforce(call("res.exec.run", f"echo '%[z]s' > {tmp_path}/log", "", None, None)).changed
    assert (tmp_path / "log").read_text() == "%[z]s\n"


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory in which any user can make files; tmp_path is in one of root's."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


@pytest.mark.parametrize(("user", "group"), [(12, 34), (12, None), (None, 34), (None, None)])
def test_a_command_and_its_test_run_as_somebody_else(
    open_to_all: Path, user: int | None, group: int | None
) -> None:
    there, tell = open_to_all, "id -u; id -g"
    calls = [
        call("res.exec.run", f"({tell}) > {there}/command", f"({tell}) > {there}/test", user, group),
        call("res.exec.run", f"({tell}) > {there}/after", "", None, None),
    ]
    assert enforce(*calls).changed
    said = {path.name: path.read_text().split() for path in there.iterdir()}
    assert said["command"] == said["test"]
    assert said["command"][0] == str(user or 0)
    assert group is None or said["command"][1] == str(group)
    assert said["after"] == ["0", "0"]


def test_a_command_has_nothing_of_the_identity_of_the_one_before(open_to_all: Path) -> None:
    calls = [
        call("res.exec.run", f"id -g > {open_to_all}/{name}", "", user, group)
        for name, user, group in [("first", 12, 34), ("second", 65534, None), ("third", None, None)]
    ]
    assert enforce(*calls).changed
    said = [(open_to_all / name).read_text() for name in ("first", "second", "third")]
    assert said == ["34\n", "65534\n", "0\n"]


def test_a_test_that_says_no_ends_the_other_identity_too(tmp_path: Path) -> None:
    calls = [
        call("res.exec.run", "true", "false", 12, 34),
        call("res.exec.run", f"id -u > {tmp_path}/after", "", None, None),
    ]
    assert enforce(*calls).changed
    assert (tmp_path / "after").read_text() == "0\n"


# -- the real `cw localsys`


@pytest.fixture
def cw(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is cw, for those that run cw again."""
    monkeypatch.setattr(sys, "argv", [str(Path(__file__).parents[2] / "cw.py")])


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("res.package.absent", "cannot find out whether the package is installed"),
        ("res.service.stopped", "cannot find out whether the service runs"),
    ],
)
def test_a_name_that_is_none(cw: None, function: str, sentence: str) -> None:
    found = enforce(call(function, "-o odd; name"))
    reason, last = found.errors.splitlines()
    assert (found.status, found.changed, last) == (1, False, f"thing:x: {sentence}")
    assert "-o odd; name" in reason


def test_a_package_that_is_there(cw: None, tmp_path: Path) -> None:
    stays(tmp_path, call("res.package.installed", "dpkg", "any"))
