"""What a broker reads or opens again while it runs, and what it makes of what it cannot use."""

import io
from pathlib import Path

from conf.schema import MeshdAuth, MeshdConf
from roles.audit import Audit
from roles.log import Log
from roles.meshd import Files, reopen

KEY = "ab" * 32


def test_an_audit_log_that_cannot_be_opened_again_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    said = io.StringIO()
    with Audit(tmp_path / "audit") as audit:
        (tmp_path / "audit").rename(tmp_path / "audit.1")
        (tmp_path / "audit").mkdir()
        reopen(audit, Log("meshd", stream=said))
        audit.write("still here")
    assert "still here" in (tmp_path / "audit.1").read_text()
    assert said.getvalue() == (
        f"meshd: cannot open the audit log {tmp_path}/audit: Is a directory (audit.file names it); "
        "the old one stays in use\n"
    )


def test_a_database_that_no_longer_parses_leaves_the_last_good_one_in_force(tmp_path: Path) -> None:
    said = io.StringIO()
    log = Log("meshd", stream=said)
    users = tmp_path / "users"
    users.write_text(f"{KEY} alice\n")
    files = Files(MeshdConf(auth=MeshdAuth(trusted=users, agents=None)))
    files.read()
    users.write_text(f"{KEY} alice\nnonsense\n")
    assert not files.refresh(log)
    assert files.users.value.names_of(KEY) == ("alice",)
    users.unlink()
    assert not files.refresh(log)
    assert not files.refresh(log)
    assert files.users.value.names_of(KEY) == ("alice",)
    assert said.getvalue().count("the last good one stays in force") == 2
    users.write_text("")
    assert files.refresh(log)
    assert files.users.value.names_of(KEY) == ()
