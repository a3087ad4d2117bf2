"""Daemons whose own file is replaced go on as if it had not been: broker and agent, with real processes."""

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.startup import free_port, running


def test_mesh_goes_on_when_its_file_is_replaced(cw_file: Path, tmp_path: Path) -> None:
    python = (sys.executable, "-ISB")
    installed, site = tmp_path / "cw", tmp_path / "site"
    shutil.copy(cw_file, installed)
    listen = f"127.0.0.1:{free_port()}"
    subprocess.run(
        [*python, installed, "init", site, "--listen", listen], stdout=subprocess.DEVNULL, check=True
    )
    with ExitStack() as daemons:
        daemons.enter_context(
            running([*python, installed, "meshd", "-c", site / "meshd.toml"], "listening on")
        )
        daemons.enter_context(running([*python, installed, "cogd", "-c", site / "cogd.toml"], "connected to"))
        (tmp_path / "newer").write_text("this is no program\n")
        (tmp_path / "newer").rename(installed)
        ping = [*python, str(cw_file), "ping", "-c", str(site / "cw.toml")]
        ended = subprocess.run(ping, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(" 0 pong\n")
