"""What the broker finds out before it listens, and what it only doubts."""

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from auth import pam, services
from auth.keys import ENCRYPTION, write_pair
from conf.document import NoConfiguration
from conf.load import load
from conf.schema import CogdConf, Conf, MeshdAuth, MeshdConf
from errors import CwError
from net.serve import ListenError, resolved
from roles import cogd, meshd
from roles.log import Log


def test_who_cannot_read_the_shadow_file_is_told_what_passwords_it_can_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(pam, "SHADOW", tmp_path / "shadow")
    assert re.fullmatch(r"passwords: .* not root and cannot read /\S+/shadow: [^\n]+", pam.doubt())
    (tmp_path / "shadow").write_text("")
    assert pam.doubt() == ""
    (tmp_path / "shadow").unlink()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert pam.doubt() == ""


@pytest.mark.parametrize(("service", "lines"), [("clockwork", 1), ("", 0)])
def test_the_doubt_is_logged_once_where_passwords_are_on(
    service: str, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clockwork").write_text("auth required pam_deny.so\n")
    monkeypatch.setattr(services, "DIRECTORY", tmp_path)
    monkeypatch.setattr(pam, "doubt", lambda: "passwords: hm")
    write_pair(tmp_path / "broker.key", ENCRYPTION, "broker", bytes(32))
    (tmp_path / "meshd.toml").write_text(
        f'[auth]\npam_service = "{service}"\nagents = ""\n[audit]\nfile = ""\n'
    )
    (tmp_path / "trusted").write_text("")
    said = io.StringIO()
    conf = load(MeshdConf, tmp_path / "meshd.toml")
    meshd.prepared(conf, meshd.Files(conf), Log("meshd", stream=said))
    assert said.getvalue() == "meshd: passwords: hm\n" * lines


def test_names_to_listen_on_are_looked_up_without_listening() -> None:
    assert resolved("*", 2315) == []
    assert [address for _, address in resolved("127.0.0.1", 2315)] == [("127.0.0.1", 2315)]
    with pytest.raises(
        ListenError, match=r"cannot listen on nowhere.invalid:1: .* \(broker.listen names it\)"
    ):
        resolved("nowhere.invalid", 1)


@pytest.mark.parametrize("options", [[], ["--test"], ["--set", 'log.level="debug"']])
@pytest.mark.parametrize(("main", "schema"), [(meshd.main, MeshdConf), (cogd.main, CogdConf)])
def test_no_configuration_at_all_is_one_line(
    main: Callable[[list[str]], int],
    schema: type[Conf],
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema, "FILE", tmp_path / "none.toml")
    with pytest.raises(NoConfiguration) as caught:
        main(options)
    assert str(caught.value) == (
        f"no configuration: looked for {tmp_path}/none.toml (-c FILE takes another, cw init DIR makes a site)"
    )


def test_a_configuration_without_a_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeshdConf, "FILE", tmp_path / "meshd.toml")
    with pytest.raises(CwError, match=r"cannot read the key /elsewhere/key"):
        meshd.main(["--set", 'broker.key="/elsewhere/key"'])
    (tmp_path / "broker.key").write_text("no key\n")
    (tmp_path / "broker.key").chmod(0o600)
    with pytest.raises(CwError, match=r"broker.key:1: expected"):
        meshd.main([])
    (tmp_path / "broker.key").unlink()
    (tmp_path / "meshd.toml").write_text("")
    with pytest.raises(CwError, match=r"cannot read the key /\S+/broker.key"):
        meshd.main([])


def test_a_missing_database_is_told_with_its_key(tmp_path: Path) -> None:
    files = meshd.Files(MeshdConf(auth=MeshdAuth(trusted=tmp_path / "none", agents=None)))
    with pytest.raises(CwError, match=r"/none: No such file or directory \(auth.trusted names it\)$"):
        files.read()


def test_a_database_that_others_can_change_is_no_longer_read(tmp_path: Path) -> None:
    said = io.StringIO()
    log = Log("meshd", stream=said)
    users = tmp_path / "users"
    users.write_text(f"{'ab' * 32} alice\n")
    files = meshd.Files(MeshdConf(auth=MeshdAuth(trusted=users, agents=None)))
    files.read()
    users.write_text(f"{'cd' * 32} mallory\n")
    users.chmod(0o666)
    for _ in range(3):
        assert not files.refresh(log)
    assert files.users.value.names_of("ab" * 32) == ("alice",)
    assert said.getvalue() == (
        f"meshd: {users}: others can change it (mode 0666): chmod go-w {users}; "
        "the last good one stays in force\n"
    )
    users.chmod(0o644)
    assert files.refresh(log)
    assert files.users.value.names_of("ab" * 32) == ()
