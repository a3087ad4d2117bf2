"""Who may ask with a password: users of this host, asked of PAM for real, and nobody waits for another."""

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from auth.pam import AT_ONCE_PER_USER
from auth.throttle import FAILURES
from mesh.messages import Error, PasswordAuth
from tests.accounts import Account, account, pam_service
from tests.e2e.harness import PATIENCE, Finished, Process, Site
from tests.e2e.raw import Client, kinds, request

PONG = "web01.example.com 0 pong\n"
QUICK = ("auth required pam_unix.so nodelay", "account required pam_unix.so")


class Mesh(NamedTuple):
    site: Site
    broker: Process
    alice: Account
    bob: Account

    def ask(self, user: str, password: str, status: int = 0) -> Finished:
        """`cw ping` with this name and password."""
        return self.site.ask("ping", "-k0", "-u", user, given=f"{password}\n", status=status)


@contextlib.contextmanager
def serving(site: Site, *lines: str) -> Iterator[Mesh]:
    """One node that allows everything to alice, bob and the site's own user, who has a key."""
    with account() as alice, account() as bob, pam_service(*lines) as service:
        rules = "".join(f"allow {name} ALL\n" for name in (alice.name, bob.name, site.user))
        with site:
            broker = site.broker(f'auth.pam_service="{service}"')
            site.agent("web01", rules=rules)
            yield Mesh(site, broker, alice, bob)


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A broker that asks pam_unix; no test changes anything here."""
    with serving(Site(tmp_path_factory.mktemp("passwords"), cw), *QUICK) as mesh:
        yield mesh


def refused(mesh: Mesh, user: str, password: str) -> None:
    asked = mesh.ask(user, password, status=3)
    assert (asked.output, asked.errors) == ("", "cw: authentication failed\n")


def test_the_right_password(mesh: Mesh) -> None:
    asked = mesh.ask(mesh.alice.name, mesh.alice.password)
    assert (asked.output, asked.errors) == (PONG, "1 answered: 1 ok\n")


@pytest.mark.parametrize("wrong", ["wrong", "", "right horse, wrong battery:", "x" * 4000])
def test_a_wrong_password(mesh: Mesh, wrong: str) -> None:
    refused(mesh, mesh.bob.name, wrong)
    mesh.broker.wait_for(rf"^meshd: refused {mesh.bob.name} at 127\.0\.0\.1: ")
    assert mesh.ask(mesh.bob.name, mesh.bob.password).output == PONG


def test_no_password(mesh: Mesh) -> None:
    asked = mesh.site.ask("ping", "-k0", "-u", mesh.alice.name, status=3)
    assert asked.errors == "cw: authentication failed\n"


@pytest.mark.parametrize("name", ["nobody-of-that-name", "-", "x" * 255, "é", "a b"])
def test_an_unknown_user(mesh: Mesh, name: str) -> None:
    refused(mesh, name, mesh.alice.password)
    mesh.broker.wait_for(rf"^meshd: refused {name} at 127\.0\.0\.1: ")


def test_a_name_in_another_case(mesh: Mesh) -> None:
    refused(mesh, mesh.alice.name.upper(), mesh.alice.password)


def test_an_account_that_has_no_password(mesh: Mesh) -> None:
    refused(mesh, "daemon", "")
    refused(mesh, "daemon", "*")


def test_an_expired_account(mesh: Mesh) -> None:
    """The password is right, and account management refuses all the same."""
    with account(expired=True) as gone:
        refused(mesh, gone.name, gone.password)
        mesh.broker.wait_for(rf"^meshd: refused {gone.name} at 127\.0\.0\.1: .*expired")


def test_a_password_does_not_stand_in_for_a_key(mesh: Mesh) -> None:
    """One failing is not followed by the other: the right password on standard input is not asked for."""
    site = mesh.site
    stranger = site.directory / "stranger.key"
    site.run("cert", "-t", "user", "-i", mesh.alice.name, "-f", str(stranger))
    words = ["ping", "-k", str(stranger), "-u", mesh.alice.name]
    assert (
        site.ask(*words, given=f"{mesh.alice.password}\n", status=3).errors == "cw: authentication failed\n"
    )


def test_failures_are_counted_for_a_user_at_an_address_alone(mesh: Mesh) -> None:
    """Too many, and even the right password is refused; keys and other users wait for nobody."""
    site = mesh.site
    with account() as carol:
        for _ in range(FAILURES):
            with Client(site) as client:
                client.ask(request(carol.name, "ping", auth=PasswordAuth("a guess")))
                assert [one.message for one in client.hear_all()] == [
                    Error("authentication", "authentication failed")
                ]
        refused(mesh, carol.name, carol.password)
        mesh.broker.wait_for(f"^meshd: refused {carol.name} at 127.0.0.1: too many failures")
    assert mesh.ask(mesh.alice.name, mesh.alice.password).output == PONG
    assert site.ask("ping").output == PONG


class Gate(NamedTuple):
    """Where PAM waits after a wrong password, until a test opens it: two named pipes."""

    reached: int
    """A descriptor: each wrong password that has come to the gate writes the process that asks about it."""
    let_go: int
    """A descriptor: a line lets one of them go on."""

    def wait(self) -> int:
        """Until one is at the gate; the process that waits there."""
        assert select.select([self.reached], [], [], PATIENCE)[0]
        return int(os.read(self.reached, 11))

    def open(self) -> None:
        """Let one go on to its refusal."""
        os.write(self.let_go, b"\n")


class Gated(NamedTuple):
    mesh: Mesh
    gate: Gate


@pytest.fixture
def gated(site: Site, tmp_path: Path) -> Iterator[Gated]:
    """A broker whose PAM holds on to a wrong password for as long as the test wants."""
    reached, let_go, script = tmp_path / "reached", tmp_path / "let_go", tmp_path / "gate"
    script.write_text(f"#!/bin/sh\nprintf '%010d\\n' $PPID > '{reached}'\nread line < '{let_go}'\nexit 1\n")
    script.chmod(0o755)
    lines = (
        "auth sufficient pam_unix.so nodelay",
        f"auth required pam_exec.so quiet {script}",
        "account required pam_unix.so",
    )
    with both_ends(reached) as arriving, both_ends(let_go) as leaving, serving(site, *lines) as mesh:
        yield Gated(mesh, Gate(arriving, leaving))


@contextlib.contextmanager
def both_ends(fifo: Path) -> Iterator[int]:
    """A named pipe at which nobody waits for the other end; what still reads it ends with the test."""
    os.mkfifo(fifo)
    descriptor = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_others_are_served_before_a_wrong_password_is_refused(gated: Gated) -> None:
    """In this order, however slow PAM is: others' passwords, keys, even the same user's right password."""
    mesh, gate = gated
    with Client(mesh.site) as wrong:
        wrong.ask(request(mesh.bob.name, "ping", auth=PasswordAuth("wrong")))
        gate.wait()
        assert mesh.ask(mesh.alice.name, mesh.alice.password).output == PONG
        assert mesh.site.ask("ping").output == PONG
        assert mesh.ask(mesh.bob.name, mesh.bob.password).output == PONG
        assert select.select([wrong.socket], [], [], 0)[0] == []
        gate.open()
        assert [one.message for one in wrong.hear_all()] == [Error("authentication", "authentication failed")]


def test_who_hangs_up_waits_no_longer(gated: Gated) -> None:
    """A client that gives up while PAM thinks leaves nobody asking PAM, and the broker goes on."""
    mesh, gate = gated
    user = mesh.bob.name
    asking = mesh.site.start_asking("ping", "-k0", "-u", user)
    asking.type("wrong\n")
    asks_pam = os.pidfd_open(gate.wait())
    try:
        asking.kill()
        assert select.select([asks_pam], [], [], PATIENCE)[0]
    finally:
        os.close(asks_pam)
    assert mesh.ask(mesh.alice.name, mesh.alice.password).output == PONG
    mesh.broker.stop()
    assert "Traceback" not in mesh.broker.log


def test_the_time_that_pam_takes_is_not_the_nodes_time(gated: Gated) -> None:
    """A request that waited for its turn behind wrong passwords of the same user still gets its answers."""
    mesh, gate = gated
    with contextlib.ExitStack() as stack:
        wrong = [stack.enter_context(Client(mesh.site)) for _ in range(AT_ONCE_PER_USER)]
        for client in wrong:
            client.ask(request(mesh.bob.name, "ping", auth=PasswordAuth("wrong")))
            gate.wait()
        right = stack.enter_context(Client(mesh.site))
        right.ask(request(mesh.bob.name, "ping", auth=PasswordAuth(mesh.bob.password)))
        assert mesh.ask(mesh.alice.name, mesh.alice.password).output == PONG
        for _ in wrong:
            gate.open()
        heard = right.hear_all()
        assert kinds(heard) == ["Ok", "Optin", "Result", "Done"]
        for client in wrong:
            assert kinds(client.hear_all()) == ["Error"]


def test_no_core_dump_holds_a_password_or_a_key(mesh: Mesh) -> None:
    """Neither of the broker nor of the process whose children ask PAM."""
    broker = mesh.broker.pid
    children = Path(f"/proc/{broker}/task/{broker}/children").read_text().split()
    assert len(children) == 1
    for process in (str(broker), *children):
        limits = Path(f"/proc/{process}/limits").read_text().splitlines()
        (core,) = (line.split()[4:6] for line in limits if line.startswith("Max core file size"))
        assert core == ["0", "0"]
