"""The built-in facts."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from uuid import UUID

import pytest

from conf.addresses import is_host_name
from mesh.facts import fault_of
from net import builtin as builtin_facts
from net.builtin import (
    NodeError,
    builtin,
    distribution,
    host_fqdn,
    host_id,
    kernel,
    node_uuid,
    require_state_dir,
    stored_uuid,
    times,
)

NODE = "6b0e1a5c-7f2d-4b8e-9a31-0c5d4e3f2a1b"


def test_every_fact_that_is_promised() -> None:
    facts = builtin("web01.dev.example.com", NODE, "1.2.3")
    assert facts["cw.version"] == "1.2.3"
    assert facts["sys.fqdn"] == "web01.dev.example.com"
    assert facts["sys.hostname"] == "web01"
    assert facts["sys.domain"] == "dev.example.com"
    assert facts["sys.uuid"] == NODE
    assert facts["sys.platform"] == "Linux"
    promised = {
        "sys.arch",
        "sys.kernel.version",
        "sys.kernel.major",
        "sys.kernel.minor",
    }
    assert promised <= facts.keys()
    assert not [fault for name, value in facts.items() if (fault := fault_of(name, value))]


def test_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "XYZ-3")
    time.tzset()
    try:
        facts = times(1_699_999_999.9)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert facts == {
        "time.year": "2023",
        "time.month": "11",
        "time.day": "15",
        "time.hour": "01",
        "time.minute": "13",
        "time.second": "19",
        "time.weekday": "3",
        "time.week": "46",
        "time.yearday": "319",
        "time.zone": "XYZ",
        "time.offset": "+0300",
    }


def test_a_name_without_a_domain_and_a_node_without_a_uuid() -> None:
    facts = builtin("web01", "", "1.2.3")
    assert (facts["sys.hostname"], facts["sys.domain"]) == ("web01", "")
    assert "sys.uuid" not in facts


@pytest.mark.parametrize(
    ("release", "major", "minor"),
    [
        ("6.1.0-18-amd64", "6.1", "6.1.0"),
        ("3.13.0-24-generic", "3.13", "3.13.0"),
        ("6.18", "6.18", "6.18"),
        ("5.10.0+", "5.10", "5.10.0"),
        ("odd", None, None),
    ],
)
def test_kernel(release: str, major: str | None, minor: str | None) -> None:
    facts = kernel(release)
    assert facts["sys.kernel.version"] == release
    assert facts.get("sys.kernel.major") == major
    assert facts.get("sys.kernel.minor") == minor


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        (
            (
                'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
                "VERSION_CODENAME=bookworm\nID=debian\n"
            ),
            ("Debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)"),
        ),
        ("ID=almalinux\nNAME='AlmaLinux'\nVERSION_ID=9.3", ("AlmaLinux", "9.3", None, None)),
        (
            '# a comment\nID="debian" \nVERSION_ID=\nPRETTY_NAME="a \\"b\\" \\$c"',
            ("Debian", None, None, 'a "b" $c'),
        ),
        ('ID="open\nNAME=x', (None, None, None, None)),
        ("", (None, None, None, None)),
    ],
)
def test_distribution(text: str, facts: tuple[str | None, ...]) -> None:
    found = distribution(text)
    assert (
        tuple(found.get(f"lsb.distro.{name}") for name in ("id", "release", "codename", "description"))
        == facts
    )


def test_the_hosts_own_id_is_what_hostid_prints() -> None:
    tool = shutil.which("hostid")
    told = subprocess.run([tool], capture_output=True, text=True, check=True).stdout if tool else ""
    assert re.fullmatch("[0-9a-f]{8}", host_id())
    assert told.strip() in (host_id(), "")


def test_a_stored_host_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = tmp_path / "hostid"
    stored.write_bytes(b"\x01\x01\x01\x01more")
    monkeypatch.setattr(builtin_facts, "_HOST_ID", stored)
    assert host_id.__wrapped__() == "01010101"


def test_the_hosts_name_is_a_host_name() -> None:
    assert is_host_name(host_fqdn())


def test_a_host_whose_name_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "my_host\n")
    monkeypatch.setattr("socket.getfqdn", lambda name: name)
    with pytest.raises(NodeError, match=r"^the host's name is no host name: my_host\\n; set agent\.fqdn$"):
        host_fqdn()


def test_a_uuid_is_made_once_and_kept(tmp_path: Path) -> None:
    state = tmp_path / "var" / "state"
    first = node_uuid(state)
    assert str(UUID(first)) == first
    assert UUID(first).version == 4
    assert node_uuid(state) == first
    assert [path.name for path in state.iterdir()] == ["uuid"]
    assert node_uuid(tmp_path / "other") != first


@pytest.mark.parametrize(
    "text", ["", "nonsense", NODE.upper(), "{" + NODE + "}", NODE.replace("-", ""), "\xff\0"]
)
def test_a_uuid_that_is_none_is_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "uuid").write_text(text, encoding="latin-1")
    with pytest.raises(
        NodeError, match=f"^{re.escape(str(tmp_path))}/uuid: expected a UUID in lower case, got: "
    ):
        node_uuid(tmp_path)
    assert (tmp_path / "uuid").read_text(encoding="latin-1") == text


def test_a_state_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NodeError, match=r"/file/state/uuid: Not a directory \(agent.state_dir names it\)$"):
        node_uuid(tmp_path / "file" / "state")


def test_a_uuid_that_is_not_there_yet_is_not_made_by_looking(tmp_path: Path) -> None:
    assert stored_uuid(tmp_path / "state") is None
    require_state_dir(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []
    assert stored_uuid(tmp_path) is None
    known = node_uuid(tmp_path)
    assert stored_uuid(tmp_path) == known


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("file/deeper", "file: Not a directory"),
        ("loose/deeper", "loose: No such file or directory"),
        ("closed/deeper/still", "closed: Permission denied"),
    ],
)
def test_a_place_that_keeps_nothing_is_known_before_anything_is_made(
    state: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "access", lambda path, *_, **__: path.name != "closed")  # root may write anywhere
    with pytest.raises(NodeError) as caught:
        require_state_dir(tmp_path / state)
    assert str(caught.value) == f"{tmp_path}/{sentence} (agent.state_dir names it)"
