"""`cw doctor` beside a mesh that runs, with the one file: well, and with one thing wrong at a time."""

import re
from pathlib import Path

import pytest

from auth.keys import read_public
from tests.e2e.harness import Finished, Site, audited


class Mesh:
    """A broker and an agent that run with just what their files say, as the doctor reads them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.broker = site.broker()
        self.agent = site.agent("web01")
        for path in (site.home / "meshd.toml", self.cogd, site.home / "cw.toml"):
            path.write_text(path.read_text().replace("127.0.0.1:2315", site.address))

    @property
    def cogd(self) -> Path:
        return self.site.directory / "web01" / "cogd.toml"

    def doctor(self, *names: str, status: int = 1) -> Finished:
        """What it says of these set-ups."""
        files = {"meshd": self.site.home / "meshd.toml", "cogd": self.cogd, "cw": self.site.home / "cw.toml"}
        return self.site.run("doctor", "-c", *(str(files[name]) for name in names or files), status=status)


@pytest.fixture
def mesh(site: Site) -> Mesh:
    return Mesh(site)


def besides(told: Finished) -> list[str]:
    """What is not ok; whether this host's clock is kept is its own affair."""
    lines = told.output.splitlines()
    return [line for line in lines if not line.startswith("ok") and ": clock: " not in line]


def test_a_mesh_that_is_well(mesh: Mesh) -> None:
    site = mesh.site
    files = [path for path in site.directory.rglob("*") if path.is_file() and path.suffix != ".audit"]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    told = mesh.doctor(status=0)
    assert besides(told) == []
    lines = told.output.splitlines()
    for line in (
        f"ok    meshd: broker.listen: {site.address} is held by this broker, which runs",
        f"ok    cogd: connection: {site.address} takes connections",
        f"ok    cogd: handshake: {site.address} is a broker with the key of agent.broker_key",
        f"ok    cogd: trust: {site.home}/agents has this agent's key for web01.example.com",
        f"ok    cogd: session: process {mesh.agent.pid} (cw cogd) is connected to {site.address}",
        f"ok    cw: handshake: {site.address} is a broker with the key of mesh.broker_key",
        "ok    cw: ping: 1 answered: 1 ok",
    ):
        assert line in lines
    again = [path for path in site.directory.rglob("*") if path.is_file() and path.suffix != ".audit"]
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in again} == before
    assert mesh.agent.log.count("connected to") == 1  # its session is still the first
    (ran,) = [entry for entry in audited(mesh.cogd.parent / "cogd.audit") if entry["event"] == "ran"]
    assert ran["command"] == "ping"


def test_metrics_that_the_broker_tells(site: Site) -> None:
    broker = site.broker('metrics.listen="127.0.0.1:0"')
    port = broker.wait_for(r"metrics on http://127.0.0.1:(\d+)/")[1]
    path = site.home / "meshd.toml"
    text = path.read_text().replace("127.0.0.1:2315", site.address)
    path.write_text(text.replace("[metrics]\n", f'[metrics]\nlisten = "127.0.0.1:{port}"\n'))
    told = site.run("doctor", "-c", str(path))
    assert f"ok    meshd: metrics.listen: 127.0.0.1:{port} tells figures" in told.output.splitlines()


def test_a_user_whose_key_is_not_listed_gets_the_command_that_mends_it(mesh: Mesh) -> None:
    site = mesh.site
    trusted, key = site.home / "trusted", site.home / f"{site.user}.key.pub"
    entry = f"{read_public(key).public.hex()}={site.user}"
    site.run("trust", "-d", str(trusted), "--revoke", str(key))
    mesh.broker.wait_for(f"{trusted} was read again$")
    nobody, line = besides(mesh.doctor("meshd", "cw"))
    assert nobody.startswith("FAIL  meshd: users: nobody can ask: ")
    assert line == f"FAIL  cw: ping: authentication failed; to mend it: cw trust -d {trusted} {entry}"
    (elsewhere,) = besides(mesh.doctor("cw"))
    assert elsewhere.endswith(f"; to mend it: on the broker's host: cw trust -d trusted {entry}")
    site.run("trust", "-d", str(trusted), f"{read_public(key).public.hex()}=somebody")
    lines = besides(mesh.doctor("meshd", "cw"))
    assert lines[-1].endswith('; to mend it: the key is listed for somebody: set mesh.username = "somebody"')
    site.run(*line.partition("to mend it: cw ")[2].split())
    mesh.doctor("cw", status=0)


def test_a_node_that_denies_everything_and_then_is_gone(mesh: Mesh) -> None:
    site, acl = mesh.site, mesh.cogd.parent / "acl"
    acl.write_text("deny ALL ALL\n")
    mesh.agent.wait_for("was read again")
    agent, ping = besides(mesh.doctor())
    assert agent.startswith(f"FAIL  cogd: acl.file: {acl} allows nothing, so every command is denied; ")
    cure = f'in the acl file of a node: allow {site.user} "ping"'
    assert ping == f"FAIL  cw: ping: 0 answered; 1 denied; to mend it: {cure}"
    mesh.agent.stop()
    mesh.broker.wait_for("agent web01.example.com at 127.0.0.1 is gone")
    session, _, ping = besides(mesh.doctor())
    assert re.fullmatch(rf"warn  cogd: session: no agent is .*: start cw cogd -c {mesh.cogd}: .*", session)
    assert ping.startswith("warn  cw: ping: no node is connected to the broker; to mend it: cw cogd ")


def test_an_agent_that_is_not_trusted_gets_the_command_that_mends_it(mesh: Mesh) -> None:
    site = mesh.site
    agents = site.home / "agents"
    site.run("trust", "-d", str(agents), "--revoke", str(mesh.cogd.parent / "agent.key.pub"))
    mesh.agent.wait_for("waiting to be trusted")
    (line,) = besides(mesh.doctor("meshd", "cogd"))
    assert line.startswith(
        f"FAIL  cogd: trust: {agents} does not have this agent's key; to mend it: cw trust "
    )
    site.run(*line.partition("to mend it: cw ")[2].split())
    mesh.agent.wait_for("^cogd: connected to", times=2)
    mesh.doctor("meshd", "cogd", status=0)


def test_a_wrong_key_and_a_dead_port_are_told_apart(mesh: Mesh) -> None:
    site = mesh.site
    site.run("cert", "-t", "broker", "-i", "other", "-f", str(site.home / "other.key"))
    right = read_public(site.home / "broker.key.pub").public.hex()
    for path in (mesh.cogd, site.home / "cw.toml"):
        text = path.read_text()
        for written in (f'"{right}"', '"broker.key.pub"'):
            text = text.replace(f"broker_key = {written}", f'broker_key = "{site.home}/other.key.pub"')
        path.write_text(text)
    agent, client = besides(mesh.doctor("cogd", "cw"))
    hangs = f"{site.address} hangs up in the handshake: its key is not that of"
    assert agent.startswith(f"FAIL  cogd: handshake: {hangs} agent.broker_key, or it is no broker; ")
    assert client.startswith(f"FAIL  cw: handshake: {hangs} mesh.broker_key, or it is no broker; ")
    lines = besides(mesh.doctor())
    assert [line.split(": ")[:2] for line in lines] == [
        ["FAIL  cogd", "agent.broker_key"],
        ["FAIL  cogd", "handshake"],
        ["FAIL  cw", "mesh.broker_key"],
        ["FAIL  cw", "handshake"],
    ]
    assert lines[0].endswith(f'; to mend it: set agent.broker_key = "{right}"')
    mesh.broker.stop()
    for line in besides(mesh.doctor("cogd", "cw")):
        assert line.endswith(": Connection refused; to mend it: start the broker: cw meshd, on its host")


def test_a_broker_of_another_site_has_the_port(mesh: Mesh) -> None:
    """It is told by the handshake, as what an agent of this site would meet."""
    site = mesh.site
    site.run("init", str(site.directory / "other"), "--listen", site.address, "--user", site.user)
    told = site.run("doctor", "-c", str(site.directory / "other" / "meshd.toml"), status=1)
    (line,) = besides(told)
    assert line.startswith(
        f"FAIL  meshd: broker.listen: {site.address} is held by something that hangs up in the "
    )
