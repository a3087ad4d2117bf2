"""Pages over HTTP on real sockets: who asks rightly is answered, and nobody else costs anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

import pytest
import trio

from net import http
from net.http import CONNECTIONS, HEAD, LINGER, PACE, Page, Web
from net.serve import Door, accept, listen

PATIENCE = 30.0


class World:
    """A listener with two pages."""

    def __init__(self) -> None:
        self.door = Door(CONNECTIONS, "read pages")
        self.warned: list[str] = []
        self.made = 0
        (self.listener,) = listen("127.0.0.1", 0)

    def page(self) -> Page:
        self.made += 1
        return Page(HTTPStatus.OK, "so many: 7 ×\n", "text/strange")

    def big(self) -> Page:
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, "x" * (4 << 20))

    async def run(self, nursery: trio.Nursery) -> None:
        web = Web({"/figures": self.page, "/big": self.big})
        nursery.start_soon(accept, self.listener, self.door, web.welcome, nursery, self.warned.append)

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.listener.getsockname())

    async def said(self, raw: bytes) -> bytes:
        """All that is answered to these bytes, until the other side closes."""
        async with await self.connect() as stream:
            await stream.send_all(raw)
            return await heard(stream)

    async def get(
        self, path: str, method: str = "GET", rest: str = "Host: x\r\n\r\n"
    ) -> tuple[int, str, bytes]:
        """Status, head and body."""
        raw = await self.said(f"{method} {path} HTTP/1.1\r\n{rest}".encode())
        head, _, body = raw.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body

    async def nobody_is_left(self) -> None:
        with trio.fail_after(PATIENCE):
            while self.door.inside:
                await trio.lowlevel.checkpoint()


async def heard(stream: trio.SocketStream) -> bytes:
    with trio.fail_after(PATIENCE):
        return b"".join([bytes(piece) async for piece in stream])


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    with made.listener:
        async with trio.open_nursery() as nursery:
            await made.run(nursery)
            yield made
            await made.nobody_is_left()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("path", ["/figures", "/figures?x=1"])
async def test_a_page_is_read(path: str) -> None:
    async with world() as web:
        status, head, body = await web.get(path)
        assert (status, body.decode()) == (200, "so many: 7 ×\n")
        assert "\r\nContent-Type: text/strange\r\n" in head
        assert f"\r\nContent-Length: {len(body)}\r\n" in head
        assert head.endswith("\r\nConnection: close")


async def test_a_page_is_made_when_it_is_asked_for_and_head_has_no_body() -> None:
    async with world() as web:
        for times in (1, 2):
            _, with_body, _ = await web.get("/figures")
            status, head, body = await web.get("/figures", "HEAD")
            assert (status, head, body) == (200, with_body, b"")
            assert web.made == 2 * times


async def test_an_old_client_is_answered_too() -> None:
    async with world() as web:
        assert (await web.said(b"GET /figures HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_page_larger_than_the_sockets_buffers_arrives_whole() -> None:
    async with world() as web:
        status, _, body = await web.get("/big")
        assert (status, len(body)) == (503, 4 << 20)


@pytest.mark.parametrize(
    ("path", "method", "status", "sentence"),
    [
        ("/", "GET", 404, "not found: there are /figures, /big\n"),
        ("/figures/", "GET", 404, "not found: there are /figures, /big\n"),
        ("/../figures", "POST", 404, "not found: there are /figures, /big\n"),
        ("/figures", "POST", 405, "method not allowed: GET and HEAD only\n"),
        ("/figures", "BREW", 405, "method not allowed: GET and HEAD only\n"),
        ("/none", "HEAD", 404, ""),
    ],
)
async def test_what_is_not_there_has_one_clear_status(
    path: str, method: str, status: int, sentence: str
) -> None:
    async with world() as web:
        got, head, body = await web.get(path, method)
        assert (got, body.decode()) == (status, sentence)
        assert ("Allow: GET, HEAD" in head) == (status == 405)
        assert not web.made


BAD = {
    "garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "no host": (b"GET /figures HTTP/1.1\r\n\r\n", 400),
    "a strange header": (b"GET /figures HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "two lengths": (
        b"GET /figures HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
    ),
    "too long a head": (b"GET /figures HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (HEAD + 1), 431),
    "a long path": (b"GET /" + b"x" * (HEAD + 1), 431),
}


@pytest.mark.parametrize(("raw", "status"), BAD.values(), ids=BAD)
async def test_what_is_no_request_has_one_clear_status(raw: bytes, status: int) -> None:
    async with world() as web:
        answer = await web.said(raw)
        assert int(answer.split()[1]) == status
        assert answer.endswith(b": that is not a request that can be answered\n")
        assert not web.made


async def test_a_body_that_nobody_reads_does_not_cut_the_answer_off() -> None:
    async with world() as web, await web.connect() as stream:
        await stream.send_all(
            b"POST /figures HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + bytes(60000)
        )
        assert (await heard(stream)).endswith(b"method not allowed: GET and HEAD only\n")


async def test_who_sends_without_end_is_cut_off() -> None:
    async def send_for_ever(stream: trio.SocketStream) -> None:
        while True:
            await stream.send_all(b"GET /figures HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(LINGER))

    async with world() as web, await web.connect() as stream:
        with trio.fail_after(PATIENCE), pytest.raises(trio.BrokenResourceError):
            await send_for_ever(stream)


async def test_who_says_nothing_or_little_is_closed_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DEADLINE", 0.05)
    async with world() as web, await web.connect() as silent, await web.connect() as slow:
        await slow.send_all(b"GET /figures HT")
        assert await heard(silent) == b""
        assert await heard(slow) == b""
        await web.nobody_is_left()
        async with await web.connect() as lingering:
            await lingering.send_all(b"GET /figures HTTP/1.1\r\nHost: x\r\n\r\n")
            await web.nobody_is_left()  # though this side closes nothing


async def test_who_hangs_up_is_forgotten() -> None:
    async with world() as web:
        for raw in (b"", b"GET /fig", b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n"):
            async with await web.connect() as stream:
                await stream.send_all(raw or b"G")


async def test_one_address_has_half_of_the_places_and_no_more() -> None:
    async with world() as web:
        async with AsyncExitStack() as waiting:
            for _ in range(CONNECTIONS // 2):
                await waiting.enter_async_context(await web.connect())
            async with await web.connect() as stream:
                assert await heard(stream) == b""
            assert web.warned == [
                "turned 127.0.0.1 away: too many connections read pages; 1 turned away so far"
            ]
        await web.nobody_is_left()
        assert (await web.get("/figures"))[0] == 200


async def test_who_asks_without_end_is_answered_at_a_measured_pace() -> None:
    async with world() as web:
        began = trio.current_time()
        async with trio.open_nursery() as askers:
            for _ in range(5):
                askers.start_soon(web.get, "/figures")
        assert web.made == 5
        assert trio.current_time() - began >= 4 * PACE
