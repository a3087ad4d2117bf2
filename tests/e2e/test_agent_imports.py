"""What an idle agent does without: every module that it keeps costs memory on each host."""

import json
import sys
import sysconfig

from tests.conftest import CHECKOUT
from tests.e2e.harness import FLAGS, Site

SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:3]
import cw
status = cw.main(sys.argv[3:])
from roles.lean import Postponed
kept = [name for name, module in sys.modules.items() if not isinstance(module, Postponed)]
import json
print(json.dumps([status, kept]), file=sys.stderr)
"""

COSTLY = {
    *("_hashlib", "_ssl", "asyncio", "base64", "concurrent", "email", "getpass", "hashlib", "hmac", "http"),
    *("importlib.metadata", "importlib.resources", "multiprocessing", "pickle", "secrets", "shlex", "shutil"),
    *("ssl", "subprocess", "tempfile", "zipfile"),
    *("h11", "idna", "nacl.bindings"),
    *("auth.pam", "mesh.formats", "mesh.ledger", "mesh.printing", "mesh.router", "net.channel", "net.http"),
    *("net.hub", "net.serve", "roles.broker", "roles.client", "vm.coverage", "vm.disassembler"),
}
"""Of the standard library, of others, and ours: the last are the broker's, the client's, and for authors."""


def test_what_an_agent_does_without(site: Site) -> None:
    """At its end, having run what it runs itself and what it runs in children."""
    cw = site.cw
    site.broker()
    site.cw = (sys.executable, *FLAGS, "-c", SCRIPT, str(CHECKOUT), sysconfig.get_path("purelib"))
    web01 = site.agent("web01")
    site.cw = cw
    for words in (("ping",), ("show", "facts"), ("show", "acls"), ("show", "user", "root")):
        assert site.ask(*words).errors == "1 answered: 1 ok\n"
    status, kept = json.loads(web01.stop().errors.splitlines()[-1])
    assert status == 0
    assert {"roles.cogd", "trio", "vm.machine"} <= set(kept)
    assert not COSTLY & set(kept)
