"""What is postponed is not loaded until it is used, and then works."""

from __future__ import annotations

import subprocess
import sys

TRIO_WITHOUT_TLS = """
import sys
import roles
import trio
async def nothing(): await trio.sleep(0)
trio.run(nothing)
print("_ssl" in sys.modules, "_hashlib" in sys.modules)
import ssl, hmac
print(ssl.SSLError.__name__, hmac.new(b"", b"", "sha256").digest_size, hmac.digest_size)
print(sys.modules["ssl"].__file__ is not None)
"""


def test_trio_runs_without_openssl_and_tls_is_there_when_asked() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TRIO_WITHOUT_TLS], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["False False", "SSLError 32 None", "True"]


TRIO_WITHOUT_A_SEARCH = """
import sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in ("subprocess.Popen", "os.fork") else None)
import roles
import trio
from roles.lean import Postponed
def comm(): return open("/proc/thread-self/comm").read().strip()
async def name(): return await trio.to_thread.run_sync(comm, thread_name="judge")
print(started, trio.run(name))
print(sorted({"shutil", "subprocess", "tempfile", "_posixsubprocess"} & {
    name for name, module in sys.modules.items() if not isinstance(module, Postponed)
}))
import ctypes.util
print(ctypes.util.find_library("c"), ctypes.CDLL(None).getpid() > 0, ctypes.util.__file__ is not None)
import idna, subprocess
print(idna.encode("x.example"), subprocess.run(["true"]).returncode)
"""


def test_trio_starts_no_process_to_find_a_library_and_ctypes_is_there_when_asked() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TRIO_WITHOUT_A_SEARCH], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["[] judge", "[]", "libc.so.6 True True", "b'x.example' 0"]


FIRST_ASKED = """
import roles
import ctypes.util
print(ctypes.util.find_library("c"), ctypes.util.find_library("pthread") is not None)
"""


def test_a_search_for_another_library_is_a_real_one() -> None:
    ran = subprocess.run([sys.executable, "-c", FIRST_ASKED], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("libc.so.6 True\n", "")


def test_a_broker_that_shows_no_metrics_carries_no_http() -> None:
    loaded = "import sys, roles.meshd; print({'h11', 'http', 'net.http', 'roles.metrics'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
