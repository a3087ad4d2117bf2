"""A long command to agents that read slowly: none of them is dropped for what the broker wants to say."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import attrs
import trio

from conf.schema import MeshdAuth, MeshdConf, MeshdLimits
from mesh.messages import VERSION, Command, Done, Hello, Ok, Optout, Welcome
from tests.live_broker import PATIENCE, Talk, World, node, ping, world
from tests.sessions import BROKER
from wire.handshake import Initiator, Peer
from wire.noise import key_pair

QUEUES = 1 << 20
NODES = 60
FILTERS = ("role=" + "x" * 1000,) * 64
"""64 KiB that go to each: four times as much as all queues may hold."""
BUFFER = 4096
"""Bytes that the system is asked to keep for a socket, each way: it would keep a whole command."""


async def small(mesh: World, number: int) -> Talk:
    """An agent for whom nobody keeps much but the broker."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    await sock.connect(mesh.listener.getsockname())
    key = key_pair(b"slow node %3d" % number + bytes(19))
    agent = Talk(trio.SocketStream(sock), Initiator(Peer.AGENT, BROKER.public, os.urandom(32), key))
    mesh.talks.append(agent)
    await agent.shake_hands()
    await agent.say(Hello(VERSION, "0.1.0", *node(100 + number)))
    assert isinstance(await agent.hears(), Welcome)
    return agent


async def test_a_long_command_waits_for_slow_agents(tmp_path: Path) -> None:
    limits = attrs.evolve(MeshdLimits(), queues=QUEUES, stall=2 * PATIENCE)
    async with world(tmp_path, MeshdConf(auth=MeshdAuth(agent_trust="any"), limits=limits)) as mesh:
        mesh.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        agents = [await small(mesh, number) for number in range(NODES)]
        client = await mesh.asked(ping()._replace(filters=FILTERS))
        assert await client.hears() == Ok(NODES)
        with trio.fail_after(PATIENCE):
            while mesh.broker.measured().hub.queued <= QUEUES // 2:
                await trio.lowlevel.checkpoint()
        for agent in agents:
            serial, command, _ = await agent.hear()
            assert isinstance(command, Command)
            assert command.filters == FILTERS
            await agent.say(Optout(), serial=serial)
        assert await client.rest() == [Done(NODES, 0, NODES, 0, 0, 0, 0)]
