"""Standard streams that are closed or full: what daemons and the demo do without them."""

import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.harness import PATIENCE, Process, Site, until

FULL = "cw: cannot write: No space left on device\n"


def test_daemons_need_no_standard_streams(site: Site) -> None:
    """What a service manager of few words starts: nothing open but what the daemons open themselves."""
    site.broker().stop()
    listen = f'broker.listen=["{site.address}"]'
    brokers = f'agent.brokers=["{site.address}"]'
    home = str(site.home)
    for words in (
        ["meshd", "-c", f"{home}/meshd.toml", "--set", listen],
        ["cogd", "-c", f"{home}/cogd.toml", "--set", brokers],
    ):
        script = f"exec {shlex.join([*site.cw, *words])} >&- 2>&- <&-"
        site.processes.append(Process(words[0], ["bash", "-c", script], site.env, site.directory))

    def answered() -> bool:
        words = [*site.cw, *site.asking("ping", "--json")]
        asked = subprocess.run(words, env=site.env, capture_output=True, check=False)
        return asked.returncode == 0 and json.loads(asked.stdout)[0]["output"] == "pong\n"

    until(answered, "answered")
    for daemon in site.processes[1:]:
        daemon.signal(signal.SIGTERM)
        assert daemon.finished().status == 0


@pytest.mark.parametrize(
    ("redirections", "status", "errors"), [(">&-", 0, ""), (">&- 2>&- <&-", 0, ""), (">/dev/full", 74, FULL)]
)
def test_a_demo_that_nobody_sees(
    cw: tuple[str, ...], tmp_path: Path, redirections: str, status: int, errors: str
) -> None:
    script = f"{shlex.join([*cw, 'demo'])} {redirections}"
    demo = subprocess.run(
        ["bash", "-c", script],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert (demo.returncode, demo.stdout, demo.stderr) == (status, "", errors)
    assert not list(tmp_path.iterdir())
