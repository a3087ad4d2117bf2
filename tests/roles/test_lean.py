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


def test_a_broker_that_shows_no_metrics_carries_no_http() -> None:
    loaded = "import sys, roles.meshd; print({'h11', 'http', 'net.http', 'roles.metrics'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
