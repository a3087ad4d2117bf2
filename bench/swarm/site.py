"""A broker to measure: a site made by `cw init`, whose trust database lists the swarm's agents."""

from __future__ import annotations

import getpass
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from auth.keys import read_public
from bench.startup import CW, free_port, usual_python
from bench.swarm.member import Identity
from bench.swarm.users import User

PATIENCE = 60.0
"""Seconds after which a broker that does not listen has failed."""


class Site:
    """A broker as a process, and its files; it ends with the `with` block."""

    def __init__(self, directory: Path, agents: Iterable[Identity], settings: Sequence[str] = ()) -> None:
        self.cw = [usual_python(), "-ISB", str(CW)]
        self.files = directory / "site"
        self._log = directory / "log"
        subprocess.run([*self.cw, "init", str(self.files)], check=True, stdout=subprocess.DEVNULL)
        with open(self.files / "agents", "a") as trusted:
            trusted.writelines(f"{agent.key.public.hex()} {agent.fqdn}\n" for agent in agents)
        self.address = ("127.0.0.1", free_port())
        self.broker_key = read_public(self.files / "broker.key.pub").public
        given = (f'broker.listen=["127.0.0.1:{self.address[1]}"]', 'auth.pam_service=""', *settings)
        meshd = [*self.cw, "meshd", "-c", str(self.files / "meshd.toml")]
        self._words = meshd + [word for setting in given for word in ("--set", setting)]

    @property
    def pid(self) -> int:
        """The broker's process."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What the broker has said."""
        return self._log.read_text()

    def user(self) -> User:
        """Whom the site was made for."""
        return User(self.address, self.broker_key, self.files / f"{getpass.getuser()}.key")

    def start(self) -> None:
        """Start the broker, and wait until it listens."""
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while "listening on" not in self.log:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the broker does not start; it said:\n{self.log}")
            time.sleep(0.001)

    def stop(self) -> None:
        """End the broker as an operator does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
