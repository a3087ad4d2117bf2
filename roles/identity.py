"""Who an agent is, and which brokers it believes."""

from __future__ import annotations

from typing import NamedTuple

from wire.noise import KeyPair

AGENTS = "/etc/clockwork/agents"
"""Where a broker's trust database of agents usually is: for the commands that the log proposes."""


class Identity(NamedTuple):
    """An agent's name, UUID and key pair, and the public key of its brokers."""

    fqdn: str
    uuid: str
    key: KeyPair
    broker_key: bytes

    @property
    def trust(self) -> str:
        """The command that makes a broker accept this agent."""
        return f"cw trust -d {AGENTS} {self.key.public.hex()}={self.fqdn}"
