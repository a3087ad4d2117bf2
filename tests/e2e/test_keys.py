"""Who may ask with a key: a good signature by a key that is listed for the user, and nothing less."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from auth.keys import KeyFile, read_secret, short
from mesh.messages import Done, Error, KeyAuth, NoAuth, Ok, PasswordAuth, Request, Result
from tests.e2e.harness import NO_PASSWORDS, Process, Site
from tests.e2e.raw import Client, Heard, kinds, request, signed, user_key

FAILED = Error("authentication", "authentication failed")
OTHER = "daemon"
"""An account that every host has."""


class Mesh(NamedTuple):
    site: Site
    broker: Process


@pytest.fixture(scope="module")
def mesh(cw: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One node, for two users; no test changes anything here."""
    with Site(tmp_path_factory.mktemp("keys"), cw) as site:
        made_key(site, OTHER, trusted_for=OTHER)
        made_key(site, "stranger")
        made_key(site, "shared", trusted_for=OTHER, also_for=site.user)
        broker = site.broker()
        site.agent("web01", rules=f"allow {site.user} ALL\nallow {OTHER} ALL\n")
        yield Mesh(site, broker)


def made_key(site: Site, name: str, trusted_for: str = "", also_for: str = "") -> None:
    path = key_path(site, name)
    site.run("cert", "-t", "user", "-i", name, "-f", str(path))
    public = read_secret(path, "signing").public.hex()
    for user in filter(None, (trusted_for, also_for)):
        site.run("trust", "-d", str(site.home / "trusted"), f"{public}={user}")


def key_path(site: Site, name: str) -> Path:
    return site.directory / f"{name}.key"


def key_of(site: Site, name: str) -> KeyFile:
    return read_secret(key_path(site, name), "signing")


def still_serves(mesh: Mesh) -> None:
    assert mesh.site.ask("ping").output == "web01.example.com 0 pong\n"


def heard_after(mesh: Mesh, say: Callable[[Client], None]) -> list[Heard]:
    with Client(mesh.site) as client:
        say(client)
        return client.hear_all()


@pytest.mark.parametrize(("key", "user"), [("", ""), (OTHER, OTHER), ("shared", ""), ("shared", OTHER)])
def test_a_key_that_is_listed_for_the_user_works(mesh: Mesh, key: str, user: str) -> None:
    site = mesh.site
    proof = ["-k", str(key_path(site, key))] if key else []
    assert site.ask("ping", *proof, "-u", user or site.user).output == "web01.example.com 0 pong\n"


REFUSED = [
    ("stranger", "", "is not listed"),
    ("stranger", OTHER, "is not listed"),
    (OTHER, "", f"is listed for {OTHER}"),
    ("", OTHER, "is listed for "),
    ("shared", "bin", "is listed for "),
]


@pytest.mark.parametrize(("key", "user", "why"), REFUSED)
def test_a_key_that_is_not_listed_for_the_user(mesh: Mesh, key: str, user: str, why: str) -> None:
    """The user is told that it failed; the log says why."""
    site = mesh.site
    path = key_path(site, key) if key else site.home / f"{site.user}.key"
    asked = site.ask("ping", "-k", str(path), "-u", user or site.user, status=3)
    assert (asked.output, asked.errors) == ("", "cw: authentication failed\n")
    public = read_secret(path, "signing").public.hex()
    mesh.broker.wait_for(f"^meshd: refused {user or site.user} at 127.0.0.1: key {short(public)} {why}")
    still_serves(mesh)


def flipped(signature: bytes, bit: int) -> bytes:
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def with_auth(asked: Request, **fields: Any) -> Request:
    assert isinstance(asked.auth, KeyAuth)
    return asked._replace(auth=asked.auth._replace(**fields))


def signature_of(asked: Request) -> bytes:
    assert isinstance(asked.auth, KeyAuth)
    return asked.auth.signature


BROKEN: dict[str, Callable[[Request], Request]] = {
    "no signature": lambda asked: with_auth(asked, signature=b""),
    "first bit of the signature": lambda asked: with_auth(asked, signature=flipped(signature_of(asked), 0)),
    "last bit of the signature": lambda asked: with_auth(asked, signature=flipped(signature_of(asked), 511)),
    "all zeros": lambda asked: with_auth(asked, signature=bytes(64)),
    "other nonce": lambda asked: with_auth(asked, nonce=os.urandom(32)),
    "other words": lambda asked: asked._replace(words=("show", "version")),
    "other filters": lambda asked: asked._replace(filters=("role=web",)),
    "other mode": lambda asked: asked._replace(mode="plan"),
    "other targets": lambda asked: asked._replace(targets=("3f2b8c1e-0000-4000-8000-000000000001",)),
    "other timeout": lambda asked: asked._replace(timeout=1),
    "other run time": lambda asked: asked._replace(run_time=1),
    "opt-outs asked for": lambda asked: asked._replace(optouts=True),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_a_signature_that_is_not_of_this_request(mesh: Mesh, change: Callable[[Request], Request]) -> None:
    asked = request(mesh.site.user, "ping")
    key = user_key(mesh.site)
    heard = heard_after(mesh, lambda client: client.ask(change(signed(asked, key, client.hash))))
    assert [one.message for one in heard] == [FAILED]
    still_serves(mesh)


def test_the_name_of_another_user_under_a_good_signature(mesh: Mesh) -> None:
    """A listed key signs for itself alone, whatever name it puts into what it signs."""
    asked = request(OTHER, "ping")
    heard = heard_after(mesh, lambda client: client.ask(asked, user_key(mesh.site)))
    assert [one.message for one in heard] == [FAILED]


def test_the_public_key_of_another_user_under_an_own_signature(mesh: Mesh) -> None:
    site = mesh.site
    public = user_key(site).public.hex()

    def say(client: Client) -> None:
        client.ask(
            with_auth(signed(request(site.user, "ping"), key_of(site, OTHER), client.hash), public=public)
        )

    assert [one.message for one in heard_after(mesh, say)] == [FAILED]


def test_a_request_replayed_on_another_connection(mesh: Mesh) -> None:
    """What was good on its own connection is worth nothing on the next."""
    site = mesh.site
    with Client(site) as client:
        good = signed(request(site.user, "ping"), user_key(site), client.hash)
        client.ask(good)
        answered = client.hear_all()
    assert kinds(answered) == ["Ok", "Optin", "Result", "Done"]
    assert isinstance(answered[2].message, Result)
    assert answered[2].message.output == b"pong\n"
    heard = heard_after(mesh, lambda client: client.ask(good))
    assert [one.message for one in heard] == [FAILED]
    still_serves(mesh)


def test_a_signature_made_on_a_connection_that_is_still_open(mesh: Mesh) -> None:
    site = mesh.site
    with Client(site) as first, Client(site) as second:
        second.ask(signed(request(site.user, "ping"), user_key(site), first.hash))
        assert [one.message for one in second.hear_all()] == [FAILED]
        first.ask(request(site.user, "ping"), user_key(site))
        assert kinds(first.hear_all()) == ["Ok", "Optin", "Result", "Done"]


def test_one_request_a_connection(mesh: Mesh) -> None:
    """A second REQUEST behind the first ends the session, signed or not."""
    site = mesh.site

    def say(client: Client) -> None:
        good = request(site.user, "ping")
        client.say(*(signed(good, user_key(site), client.hash) for _ in range(2)))

    heard = heard_after(mesh, say)
    assert not any(isinstance(one.message, Done) for one in heard)
    still_serves(mesh)


METHODS = {"none": NoAuth(), "a password where they are off": PasswordAuth("a guess")}


@pytest.mark.parametrize("auth", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("words", [("ping",), ("no", "such", "command"), ()])
def test_without_a_method_nothing_is_learned(
    mesh: Mesh, auth: NoAuth | PasswordAuth, words: tuple[str, ...]
) -> None:
    """Not even whether the command exists: authentication comes first."""
    asked = request(mesh.site.user, *words, auth=auth)
    heard = heard_after(mesh, lambda client: client.ask(asked))
    assert [one.message for one in heard] == [FAILED]
    still_serves(mesh)


def test_every_refusal_reads_the_same(mesh: Mesh) -> None:
    """User unknown to the host, key unknown, signature bad, no method: one answer, to the byte."""
    site = mesh.site
    asked = request(site.user, "ping")
    says: list[Callable[[Client], None]] = [
        lambda client: client.ask(asked),
        lambda client: client.ask(asked, key_of(site, "stranger")),
        lambda client: client.ask(asked._replace(user="nobody-of-that-name"), key_of(site, "stranger")),
        lambda client: client.ask(with_auth(signed(asked, user_key(site), client.hash), signature=bytes(64))),
    ]
    assert {tuple(heard_after(mesh, say)) for say in says} == {(Heard(0, FAILED),)}


def test_a_hundred_refusals_cost_nobody_else_anything(mesh: Mesh) -> None:
    """Keys are not throttled: neither the refused user's own good key nor anyone's waits."""
    site = mesh.site
    for _ in range(100):
        heard = heard_after(mesh, lambda client: client.ask(request(site.user, "ping"), key_of(site, OTHER)))
        assert [one.message for one in heard] == [FAILED]
    with Client(site) as client:
        client.ask(request(site.user, "ping"), user_key(site))
        assert client.hear().message == Ok(1)
    still_serves(mesh)


def test_a_key_that_others_can_read_is_not_used(mesh: Mesh) -> None:
    site = mesh.site
    path = key_path(site, "loose")
    path.write_bytes(key_path(site, OTHER).read_bytes())
    path.chmod(0o644)
    asked = site.ask("ping", "-k", str(path), "-u", OTHER, status=2)
    assert asked.errors == f"cw: {path}: others can read this private key (mode 0644): chmod 600 {path}\n"


def test_a_broker_that_nobody_could_ask_refuses_to_start(site: Site) -> None:
    """With neither keys nor passwords."""
    words = ["meshd", "-c", str(site.home / "meshd.toml")]
    none = ["--set", 'auth.trusted=""', "--set", NO_PASSWORDS]
    refused = site.run(*words, *none, status=2)
    assert refused.errors.startswith("cw: No user could authenticate")
    assert refused.errors.count("\n") == 1
