"""Pages for GET and HEAD, one request a connection: for metrics and probes, not for a web.

Whoever can connect can cost the process no more than a place for DEADLINE seconds, one bounded head and one
page, and all of them together no more than a page each PACE seconds. The words of HTTP are h11's, which is
imported with this module: import it where there is a listener.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

import h11
import trio

from net.greet import Gone, receive, send
from net.serve import Ticket

DEADLINE = 5.0
"""Seconds that a connection may take, from its first byte to its end."""
HEAD = 8192
"""Bytes of a request's head at most."""
PACE = 0.02
"""Seconds between two answers: six who ask as fast as they can took four fifths of a broker's time."""
LINGER = 65536
"""Bytes read and thrown away behind an answer, lest a reset overtake it; then the connection is closed."""
CONNECTIONS = 16
"""Connections at once; more are closed unheard."""
PLAIN = "text/plain; charset=utf-8"
METHODS = (b"GET", b"HEAD")


class Page(NamedTuple):
    """An answer."""

    status: HTTPStatus
    body: str
    type: str = PLAIN


Pages = Mapping[str, Callable[[], Page]]
"""What makes the page of each path, when it is asked for."""


class Web:
    """What answers the connections of a listener; its `welcome` is for net.serve.accept."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._free = 0.0
        """When the next answer may begin."""

    async def welcome(self, sock: socket.socket, _: str, ticket: Ticket) -> None:
        """One connection, which this closes: a request, its answer, the end."""
        try:
            with trio.move_on_after(DEADLINE):
                await self._turn()
                await _answer(sock, self._pages)
        except Gone:
            pass  # and nobody is left to be told anything
        finally:
            sock.close()
            ticket.leave()

    async def _turn(self) -> None:
        now = trio.current_time()
        begin = max(now, self._free)
        self._free = begin + PACE
        await trio.sleep_until(begin)


async def _answer(sock: socket.socket, pages: Pages) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
    method = b""
    try:
        while not isinstance(event := connection.next_event(), h11.Request):
            connection.receive_data(await receive(sock, HEAD))
        method = event.method
        page = _page(method, event.target, pages)
    except h11.RemoteProtocolError as error:
        page = _complaint(HTTPStatus(error.error_status_hint), "that is not a request that can be answered")
    await send(sock, _written(connection, page, bodiless=method == b"HEAD"))
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError as error:
        raise Gone from error
    left = LINGER
    while left > 0:
        left -= len(await receive(sock, HEAD))


def _page(method: bytes, target: bytes, pages: Pages) -> Page:
    make = pages.get(target.partition(b"?")[0].decode("ascii", "replace"))
    if make is None:
        return _complaint(HTTPStatus.NOT_FOUND, f"there are {', '.join(pages)}")
    if method not in METHODS:
        return _complaint(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only")
    return make()


def _complaint(status: HTTPStatus, sentence: str) -> Page:
    return Page(status, f"{status.phrase.lower()}: {sentence}\n")


def _written(connection: h11.Connection, page: Page, *, bodiless: bool) -> bytes:
    body = page.body.encode()
    headers = [
        ("Content-Type", page.type),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    events: list[h11.Event] = [
        h11.Response(status_code=page.status, reason=page.status.phrase.encode(), headers=headers),
        *([] if bodiless else [h11.Data(data=body)]),
        h11.EndOfMessage(),
    ]
    return b"".join(connection.send(event) or b"" for event in events)
