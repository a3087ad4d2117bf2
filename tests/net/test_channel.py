"""A client's session on a real socket: every way in which it fails is one declared sentence."""

import os
import socket
import time
from collections.abc import Callable

import pytest

from errors import CwError
from mesh.messages import Ok, Pong, encode
from net.channel import Broken, Channel, Late, NotABroker, Unreachable, WrongKey, dial
from tests.fake_broker import PATIENCE, Link, Listener, broker
from tests.sessions import AGENT, BROKER
from wire.errors import DecryptError

BRIEF = 0.05
"""Seconds for what must not come in time."""


def dialled(address: str) -> Channel:
    return dial(address, BROKER.public, PATIENCE)


def soon() -> float:
    return time.monotonic() + PATIENCE


def leave(_link: Link) -> None:
    """The broker dies."""


def stay(link: Link) -> None:
    link.gone()


def echo(link: Link) -> None:
    link.pass_on(encode(link.hear()))


def test_messages_go_and_come() -> None:
    with broker(echo) as listener, dialled(listener.address) as channel:
        channel.send(encode(Pong(5)), PATIENCE)
        assert channel.receive(soon()) == [encode(Pong(5))]


def test_both_ends_have_the_same_handshake_hash() -> None:
    hashes = []
    with broker(lambda link: hashes.append(link.hash)) as listener, dialled(listener.address) as channel:
        hashes.append(channel.hash)
    assert len(hashes) == 2
    assert len(set(hashes)) == 1


def test_many_messages_in_one_piece_come_one_by_one() -> None:
    sent = [encode(Ok(number)) for number in range(50)]
    with broker(lambda link: link.pass_on(*sent)) as listener, dialled(listener.address) as channel:
        received: list[bytes] = []
        while len(received) < len(sent):
            received += channel.receive(soon())
    assert received == sent


def test_what_comes_with_the_handshake_is_not_lost() -> None:
    with broker(leave) as listener, dialled(listener.address) as channel:
        channel.hold([b"early"])
        assert channel.receive(soon()) == [b"early"]


def test_a_wake_up_ends_the_waiting() -> None:
    read_end, write_end = os.pipe()
    with broker(stay) as listener, dialled(listener.address) as channel:
        os.write(write_end, b"!")
        assert channel.receive(soon(), read_end) == []
    os.close(read_end)
    os.close(write_end)


def test_a_pause_ends_the_waiting_and_spoils_nothing() -> None:
    with broker(echo) as listener, dialled(listener.address) as channel:
        assert channel.receive(soon(), None, time.monotonic() + BRIEF) == []
        channel.send(encode(Pong(5)), PATIENCE)
        assert channel.receive(soon(), None, soon()) == [encode(Pong(5))]


def test_nothing_in_time_is_late() -> None:
    with broker(stay) as listener, dialled(listener.address) as channel, pytest.raises(Late):
        channel.receive(time.monotonic() + BRIEF, None, soon())


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        dialled(f"127.0.0.1:{port}")
    assert str(caught.value) == f"cannot reach the broker 127.0.0.1:{port}: Connection refused"


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(Unreachable, match=r"cannot reach the broker nowhere\.invalid:2315: "):
        dialled("nowhere.invalid:2315")


def test_a_full_backlog_is_no_answer_in_time() -> None:
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        address = f"127.0.0.1:{full.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"no answer in 0\.05 seconds|timed out"):
            dial(address, BROKER.public, BRIEF)


def until_it_hangs_up(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


def banner(text: bytes) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        sock.sendall(text)
        until_it_hangs_up(sock)

    return serve


def hang_up(sock: socket.socket) -> None:
    sock.recv(1)


STRANGERS = [
    (banner(b"SSH-2.0-OpenSSH_9.2p1\r\n"), NotABroker, "is not a broker: it answers in another protocol"),
    (
        banner(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        NotABroker,
        "is not a broker: it answers in another protocol",
    ),
    (banner(b"\x00\x00"), NotABroker, "is not a broker: it answers in another protocol"),
    (banner(b"\x00\x30" + bytes(48)), NotABroker, "is not a broker: it answers in another protocol"),
    (banner(b"\x00\x30" + AGENT.public + bytes(16)), WrongKey, "does not hold the configured key"),
    (hang_up, WrongKey, "hung up during the handshake: it does not hold the configured key"),
]


@pytest.mark.parametrize(("serve", "error", "sentence"), STRANGERS)
def test_strangers(serve: Callable[[socket.socket], None], error: type[CwError], sentence: str) -> None:
    with Listener(serve) as listener, pytest.raises(CwError, match=sentence) as caught:
        dialled(listener.address)
    assert caught.value.status == 4
    assert listener.address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert type(caught.value) is error


def test_a_listener_that_says_nothing_is_late() -> None:
    with Listener(until_it_hangs_up) as listener, pytest.raises(Late) as caught:
        dial(listener.address, BROKER.public, BRIEF)
    assert str(caught.value) == f"{listener.address} did not answer as a broker in 0.05 seconds"


def test_another_broker_s_key() -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(4096)  # a broker that cannot decrypt says nothing, and hangs up

    with Listener(serve) as listener, pytest.raises(WrongKey, match="configured key"):
        dial(listener.address, AGENT.public, PATIENCE)


def test_a_broker_that_dies() -> None:
    with (
        broker(leave) as listener,
        dialled(listener.address) as channel,
        pytest.raises(Broken, match="broke: it hung up"),
    ):
        channel.receive(soon())


def test_a_broker_that_resets_the_connection() -> None:
    def reset(link: Link) -> None:
        link.hear()
        link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with broker(reset) as listener, dialled(listener.address) as channel:
        channel.send(encode(Pong(1)), PATIENCE)
        with pytest.raises(Broken, match="broke: Connection reset by peer"):
            channel.receive(soon())


def test_bytes_that_no_broker_sealed() -> None:
    def forge(link: Link) -> None:
        link.hear()
        link.socket.sendall(b"\x00\x20" + bytes(32))
        link.gone()

    with broker(forge) as listener, dialled(listener.address) as channel:
        channel.send(encode(Pong(1)), PATIENCE)
        with pytest.raises(DecryptError) as caught:
            channel.receive(soon())
    assert caught.value.status == 4
