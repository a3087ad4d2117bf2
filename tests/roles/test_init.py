import errno
import os
import pwd
import stat
from pathlib import Path

import pytest

import auth.services
from auth.keys import ENCRYPTION, SIGNING, broker_key, read_public, read_secret
from auth.trust import parse as parse_trust
from conf import client
from conf.load import load
from conf.schema import CogdConf, MeshdConf
from errors import CwError
from mesh import acl
from net.builtin import host_fqdn
from roles.arguments import UsageError
from roles.drafts import DraftError
from roles.init import InitError, main

ME = pwd.getpwuid(os.geteuid()).pw_name
FILES = {
    "meshd.toml": 0o644,
    "cogd.toml": 0o644,
    "cw.toml": 0o644,
    "broker.key": 0o600,
    "broker.key.pub": 0o644,
    "agent.key": 0o600,
    "agent.key.pub": 0o644,
    f"{ME}.key": 0o600,
    f"{ME}.key.pub": 0o644,
    "trusted": 0o644,
    "agents": 0o644,
    "acl": 0o644,
    "commands": 0o755,
    "gatherers": 0o755,
    "state": 0o700,
}


@pytest.fixture(autouse=True)
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PAM services of a host: none yet."""
    directory = tmp_path / "pam.d"
    directory.mkdir()
    monkeypatch.setattr(auth.services, "DIRECTORY", directory)
    return directory


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main([str(tmp_path / "site")]) == 0
    capsys.readouterr()
    return tmp_path / "site"


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in directory.rglob("*")
    }


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_site_is_these_files_with_these_modes(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        main([str(tmp_path / "deep" / "site")])
    finally:
        os.umask(before)
    made = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep/site").iterdir()}
    assert made == FILES


def test_the_parts_of_a_site_know_each_other(site: Path) -> None:
    meshd = load(MeshdConf, site / "meshd.toml")
    cogd = load(CogdConf, site / "cogd.toml")
    cw = client.load(site / "cw.toml")
    assert meshd.broker.listen == cogd.agent.brokers == (cw.broker,) == ("127.0.0.1:2315",)
    broker = read_secret(meshd.broker.key, ENCRYPTION)
    assert (
        broker_key(cogd.agent.broker_key, Path("/")) == broker_key(cw.broker_key, Path("/")) == broker.public
    )

    assert meshd.auth.agents is not None
    agent = read_secret(cogd.agent.key, ENCRYPTION)
    agents = parse_trust(meshd.auth.agents.read_text(), "agents")
    assert agents.names_of(agent.public.hex()) == (cogd.agent.fqdn,) == (agent.name,) == (host_fqdn(),)

    assert meshd.auth.trusted is not None
    assert cw.key is not None
    user = read_secret(cw.key, SIGNING)
    trusted = parse_trust(meshd.auth.trusted.read_text(), "trusted")
    assert trusted.names_of(user.public.hex()) == (cw.username,) == (ME,)

    assert cogd.acl.file is not None
    rules = acl.parse(cogd.acl.file.read_text(), "acl")
    assert acl.permitted([rules], ME, (), ("show", "version"))
    assert not acl.permitted([rules], "mallory", (), ("show", "version"))
    assert meshd.broker.commands == cw.commands == site / "commands"
    assert cogd.agent.state_dir == site / "state"
    assert cogd.facts.gatherers == site / "gatherers"


def test_no_two_sites_have_a_key_in_common(tmp_path: Path) -> None:
    for name in ("one", "two"):
        main([str(tmp_path / name)])
    keys = {read_public(path).public for path in tmp_path.glob("*/*.pub")}
    assert len(keys) == 6


def test_the_last_lines_are_the_commands_to_run_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "my site"
    main([str(directory)])
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"  cw meshd -c '{directory}/meshd.toml'",
        f"  cw cogd -c '{directory}/cogd.toml'",
        f"  cw ping -c '{directory}/cw.toml'",
    ]


def test_the_commands_call_cw_as_it_was_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["./dist/cw", "init"])
    main([str(tmp_path / "site")])
    assert capsys.readouterr().out.splitlines()[-1].startswith("  ./dist/cw ping -c ")


@pytest.mark.parametrize("there", [*FILES, "state"])
def test_nothing_is_written_where_something_would_be_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / there).write_text("precious")
    with pytest.raises(DraftError, match=f"nothing made in {tmp_path}/site: {there} would be overwritten"):
        main([str(tmp_path / "site")])
    assert contents(tmp_path / "site") == {there: b"precious"}


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/acl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DraftError, match="acl would be overwritten"):
        main([str(tmp_path / "site")])
    assert not (tmp_path / "elsewhere").exists()


def test_other_files_of_the_directory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/notes").write_text("precious")
    main([str(tmp_path / "site")])
    assert (tmp_path / "site/notes").read_text() == "precious"
    with pytest.raises(DraftError):
        main([str(tmp_path / "site")])


def test_a_file_in_the_way_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    with pytest.raises(DraftError, match=r"cannot make .*/site: File exists; nothing is left"):
        main([str(tmp_path / "site")])


def test_passwords_are_on_only_where_the_service_exists(services: Path, tmp_path: Path) -> None:
    main([str(tmp_path / "without")])
    (services / "clockwork").write_text("auth required pam_deny.so\n")
    main([str(tmp_path / "with")])
    assert load(MeshdConf, tmp_path / "without/meshd.toml").auth.pam_service == ""
    assert load(MeshdConf, tmp_path / "with/meshd.toml").auth.pam_service == "clockwork"


@pytest.mark.parametrize(
    ("listen", "dial"),
    [
        ("*:4000", "127.0.0.1:4000"),
        ("0.0.0.0:4000", "127.0.0.1:4000"),
        ("[::]:4000", "[::1]:4000"),
        ("192.0.2.7:1", "192.0.2.7:1"),
        ("mesh.example.com:2315", "mesh.example.com:2315"),
    ],
)
def test_agents_and_clients_connect_to_where_the_broker_listens(
    listen: str, dial: str, tmp_path: Path
) -> None:
    main([str(tmp_path), "--listen", listen])
    assert load(MeshdConf, tmp_path / "meshd.toml").broker.listen == (listen,)
    assert load(CogdConf, tmp_path / "cogd.toml").agent.brokers == (dial,)
    assert client.load(tmp_path / "cw.toml").broker == dial


def test_a_user_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tmp_path), "--user", "nobody-knows-me"])
    assert "this host does not know the user nobody-knows-me" in capsys.readouterr().out
    assert read_public(tmp_path / "nobody-knows-me.key.pub").name == "nobody-knows-me"
    assert (tmp_path / "acl").read_text().endswith("allow nobody-knows-me ALL\n")


def test_the_key_that_root_makes_for_a_user_is_theirs(tmp_path: Path) -> None:
    main([str(tmp_path), "--user", "daemon"])
    assert (tmp_path / "daemon.key").stat().st_uid == pwd.getpwnam("daemon").pw_uid
    assert (tmp_path / "broker.key").stat().st_uid == os.geteuid()


@pytest.mark.parametrize(
    "options",
    [
        ["--user", ""],
        ["--user", "../x"],
        ["--user", "a b"],
        ["--user", "%staff"],
        ["--user", "ALL"],
        ["--user", "broker"],
        ["--user", "agent"],
        ["--listen", "2315"],
        ["--listen", "*:0"],
        ["--listen", ""],
        ["--site", "."],
        ["--agent", "a.example.com"],
        ["--agent", "", "--site", "."],
        ["--agent", "a b", "--site", "."],
        ["--agent", "../x", "--site", "."],
        ["--agent", "a", "--site", ".", "--user", "alice"],
        ["--agent", "a", "--site", ".", "--listen", "*:1"],
        ["--unknown"],
        ["another"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_makes_nothing(options: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        main([str(tmp_path / "site"), *options])
    assert str(caught.value).isprintable()
    assert caught.value.status == 2
    assert not (tmp_path / "site").exists()


def test_an_agent_is_added_beside_the_broker(site: Path, tmp_path: Path) -> None:
    node = tmp_path / "web01"
    before = contents(site)
    main(["--agent", "web01.example.com", str(node), "--site", str(site)])
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in node.iterdir()} == {
        "cogd.toml": 0o644,
        "agent.key": 0o600,
        "agent.key.pub": 0o644,
        "acl": 0o644,
    }
    cogd = load(CogdConf, node / "cogd.toml")
    assert cogd.agent.fqdn == "web01.example.com"
    assert cogd.agent.brokers == ("127.0.0.1:2315",)
    assert broker_key(cogd.agent.broker_key, Path("/")) == read_public(site / "broker.key.pub").public
    assert (node / "acl").read_text() == (site / "acl").read_text()
    public = read_secret(cogd.agent.key, ENCRYPTION).public.hex()
    assert (site / "agents").read_bytes() == before["agents"] + f"{public} web01.example.com\n".encode()
    after = contents(site)
    assert {name for name in after if after[name] != before.get(name)} == {"agents"}


def test_an_agent_elsewhere_connects_to_this_host_by_name(tmp_path: Path) -> None:
    main([str(tmp_path / "site"), "--listen", "*:4000"])
    main([str(tmp_path / "node"), "--agent", "web01", "--site", str(tmp_path / "site")])
    assert load(CogdConf, tmp_path / "node/cogd.toml").agent.brokers == (f"{host_fqdn()}:4000",)


def test_an_agent_that_is_listed_already_is_not_made_again(site: Path, tmp_path: Path) -> None:
    main(["--agent", "web01", str(tmp_path / "one"), "--site", str(site)])
    before = contents(site)
    with pytest.raises(InitError, match=f"{site}/agents lists web01 already, with the key "):
        main(["--agent", "web01", str(tmp_path / "two"), "--site", str(site)])
    assert not (tmp_path / "two").exists()
    with pytest.raises(DraftError, match="would be overwritten"):
        main(["--agent", "web02", str(tmp_path / "one"), "--site", str(site)])
    assert contents(site) == before


@pytest.mark.parametrize("gone", ["meshd.toml", "broker.key.pub", "acl"])
def test_an_agent_needs_its_site(gone: str, site: Path, tmp_path: Path) -> None:
    (site / gone).unlink()
    agents = (site / "agents").read_text()
    with pytest.raises(CwError, match=gone):
        main(["--agent", "web01", str(tmp_path / "node"), "--site", str(site)])
    assert not (tmp_path / "node").exists()
    assert (site / "agents").read_text() == agents


def test_a_site_without_a_database_of_agents_takes_none(site: Path, tmp_path: Path) -> None:
    text = (site / "meshd.toml").read_text().replace('agents = "agents"', 'agents = ""')
    (site / "meshd.toml").write_text(text)
    with pytest.raises(InitError, match=r"meshd.toml: auth.agents: expected a trust database"):
        main(["--agent", "web01", str(tmp_path / "node"), "--site", str(site)])


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where daemons look for their configuration."""
    monkeypatch.setattr(MeshdConf, "FILE", tmp_path / "etc/meshd.toml")
    return tmp_path / "etc"


def test_in_the_usual_place_daemons_write_where_they_do_by_default(usual: Path, tmp_path: Path) -> None:
    usual.mkdir()
    main([str(usual / ".." / "etc")])
    assert {path.name for path in usual.iterdir()} == FILES.keys() - {"state"}
    meshd, cogd = load(MeshdConf, usual / "meshd.toml"), load(CogdConf, usual / "cogd.toml")
    assert meshd.audit.file == Path("/var/log/clockwork/meshd.audit")
    assert cogd.audit.file == Path("/var/log/clockwork/cogd.audit")
    assert cogd.agent.state_dir == Path("/var/lib/clockwork")
    main(["--agent", "web01", str(tmp_path / "web01"), "--site", str(usual)])
    assert load(CogdConf, tmp_path / "web01/cogd.toml").agent.state_dir == tmp_path / "web01/state"


def test_a_disk_that_is_full_is_one_line_with_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(DraftError) as caught:
        main([str(tmp_path / "site")])
    assert str(caught.value) == (
        f"cannot make {tmp_path}/site/meshd.toml: No space left on device; nothing is left"
    )
    assert not (tmp_path / "site").exists()


def test_a_huge_name_is_cut(tmp_path: Path) -> None:
    with pytest.raises(
        DraftError, match=r"\Acannot make x{196} \.\.\.: File name too long; nothing is left\Z"
    ):
        main(["x" * 5000])


@pytest.mark.parametrize(
    ("listen", "remark"),
    [
        ("127.0.0.1:23151", "127.0.0.1:23151, for this host alone (--listen '*:23151' is for all)"),
        ("127.9.8.7:1", "127.9.8.7:1, for this host alone (--listen '*:1' is for all)"),
        ("[::1]:2315", "[::1]:2315, for this host alone (--listen '*:2315' is for all)"),
        ("*:23151", "*:23151"),
    ],
)
def test_who_can_reach_the_broker_is_said(
    listen: str, remark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path / "site"), "--listen", listen])
    assert capsys.readouterr().out.splitlines()[1] == f"the broker will listen on {remark}"
    main(["--agent", "web01", str(tmp_path / "web01"), "--site", str(tmp_path / "site")])
    warned = (
        f"nodes elsewhere cannot reach the broker, which listens on {listen} "
        f"(broker.listen in {tmp_path}/site/meshd.toml)"
    )
    assert (warned in capsys.readouterr().out.splitlines()) == (listen[0] != "*")


def test_an_agent_is_told_the_address_that_it_can_reach(site: Path, tmp_path: Path) -> None:
    text = (site / "meshd.toml").read_text()
    (site / "meshd.toml").write_text(text.replace('"127.0.0.1:2315"', '"127.0.0.1:2315", "192.0.2.7:2316"'))
    main(["--agent", "web01", str(tmp_path / "node"), "--site", str(site)])
    assert load(CogdConf, tmp_path / "node/cogd.toml").agent.brokers == ("192.0.2.7:2316",)


def test_whether_passwords_are_on_is_said(
    services: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path / "without")])
    assert "passwords are off, for there is no /etc/pam.d/clockwork" in capsys.readouterr().out
    (services / "clockwork").write_text("auth required pam_deny.so\n")
    main([str(tmp_path / "with")])
    said = "passwords are on, checked by PAM as /etc/pam.d/clockwork says (auth.pam_service)"
    assert said in capsys.readouterr().out.splitlines()
