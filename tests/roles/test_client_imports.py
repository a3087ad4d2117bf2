"""What `cw ping` imports, from its start to its end: every module costs every command its time."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

from auth.keys import SIGNING, write_pair
from mesh.messages import Result
from tests.fake_broker import PATIENCE, answering, broker
from tests.sessions import BROKER

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys
before = set(sys.modules)
sys.path[:0] = sys.argv[1:3]
import cw
status = cw.main(sys.argv[3:])
from roles.lean import Postponed
imported = sorted(
    name for name in set(sys.modules) - before if not isinstance(sys.modules[name], Postponed)
)
import json
print(json.dumps([status, imported]), file=sys.stderr)
"""

OURS = {
    *("cw", "errors"),
    *("auth", "auth.keys", "auth.signing"),
    *("conf", "conf.addresses", "conf.client", "conf.document", "conf.guarded", "conf.kinds", "conf.version"),
    *("mesh", "mesh.acl", "mesh.command", "mesh.facts", "mesh.hearing", "mesh.messages", "mesh.printing"),
    *("mesh.grammar", "mesh.session", "mesh.vocabulary", "mesh.words"),
    *("net", "net.channel"),
    *(
        "roles",
        "roles.checked",
        "roles.client",
        "roles.conversation",
        "roles.credentials",
        "roles.interrupts",
        "roles.lean",
    ),
    *("roles.options", "roles.records", "roles.screen"),
    *("wire", "wire.codec", "wire.errors", "wire.handshake", "wire.noise", "wire.primitives"),
    *("wire.records", "wire.transport"),
}

THEIRS = {"nacl", "_cffi_backend", "_sodium"}
"""Packages that are not of the standard library."""

COSTLY = {
    *("argparse", "asyncio", "base64", "concurrent", "copy", "dataclasses", "email", "encodings.idna"),
    *("getpass", "http", "importlib.metadata", "importlib.resources", "inspect", "json", "logging"),
    *("multiprocessing", "pickle", "random", "secrets", "shlex", "shutil", "_ssl", "subprocess"),
    *("tempfile", "threading", "traceback", "unicodedata", "uuid", "zipfile"),
}
"""Modules of the standard library that a command can do without."""


def test_what_ping_imports(tmp_path: Path) -> None:
    write_pair(tmp_path / "key", SIGNING, "alice", bytes(range(32)))
    with broker(answering(Result(0, b"pong\n", b"", False, 0))) as listener:
        settings = [
            f'mesh.broker="{listener.address}"',
            f'mesh.broker_key="{BROKER.public.hex()}"',
            'mesh.username="alice"',
            f'mesh.key="{tmp_path / "key"}"',
        ]
        packages = sysconfig.get_path("purelib")
        asked = subprocess.run(
            [sys.executable, "-ISB", "-c", SCRIPT, str(ROOT), packages, "ping", "-q"]
            + [word for setting in settings for word in ("--set", setting)],
            env={"HOME": str(tmp_path)},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        )
    assert asked.stdout == b"web01.example.com 0 pong\n"
    status, imported = json.loads(asked.stderr)
    assert status == 0
    packages_of_ours = {name.partition(".")[0] for name in OURS}
    assert {name for name in imported if name.partition(".")[0] in packages_of_ours} == OURS
    others = {name.partition(".")[0] for name in imported} - packages_of_ours
    assert others - sys.stdlib_module_names == THEIRS
    assert not COSTLY & set(imported)
