"""Asking the default gateway for its outside address, by NAT-PMP and by UPnP at once; the first usable answer counts.

The asyncio side of `turnd.nat_pmp` and `turnd.upnp_igd`. Nothing else than the gateway is asked, and no state is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import NamedTuple

import aiohttp

from turnd import nat_pmp, upnp_igd
from turnd.outside_address import RouterError

SEARCH_SECONDS = (0.3, 0.7, 2.0)  # between searches; a router may take its time, MX, of one second
HTTP_SECONDS = 3.0


class RouterPorts(NamedTuple):
    """Where routers listen."""

    nat_pmp: int = nat_pmp.ROUTER_PORT
    ssdp: int = upnp_igd.SSDP_PORT


ROUTER_PORTS = RouterPorts()


async def ask_router(loop: asyncio.AbstractEventLoop, gateway: str, ports: RouterPorts = ROUTER_PORTS) -> str:
    """The outside address of the router at `gateway`; RouterError when it tells none, within eight seconds or so."""
    questions = [
        loop.create_task(_ask_nat_pmp(loop, gateway, ports.nat_pmp)),
        loop.create_task(_ask_upnp(loop, gateway, ports.ssdp)),
    ]
    try:
        reasons = []
        for question in asyncio.as_completed(questions):
            try:
                return await question
            except (OSError, RouterError) as error:
                reasons.append(str(error))
        raise RouterError("; ".join(reasons))
    finally:
        for task in questions:
            task.cancel()
        await asyncio.wait(questions)


async def _ask_nat_pmp(loop: asyncio.AbstractEventLoop, gateway: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
        channel.connect((gateway, port))  # only the gateway's own answers arrive
        for seconds in nat_pmp.RETRANSMIT_SECONDS:
            channel.send(nat_pmp.REQUEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return nat_pmp.parse(await loop.sock_recv(channel, 64))
    raise RouterError("no answer by NAT-PMP")


async def _ask_upnp(loop: asyncio.AbstractEventLoop, gateway: str, port: int) -> str:
    url = await _search(loop, gateway, port)
    reason = RouterError("no answer")
    try:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=HTTP_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept-Encoding": "identity"},
        ) as http:
            description = await _body(http, "GET", url)
            for service in upnp_igd.services(description, url, gateway):
                try:
                    answer = await _body(http, "POST", service.url, service.question(), service.headers())
                    return upnp_igd.parse(answer)
                except RouterError as error:
                    reason = error
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RouterError(f"by UPnP: {str(error) or type(error).__name__}") from None
    raise RouterError(f"by UPnP: {reason}")


async def _body(
    http: aiohttp.ClientSession, method: str, url: str, data: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    """The body of a good answer, read no further than what may be parsed."""
    async with http.request(method, url, data=data or None, headers=headers, allow_redirects=False) as answer:
        if answer.status != 200:
            raise RouterError(f"status {answer.status}")
        body = bytearray()
        async for chunk in answer.content.iter_chunked(8192):
            body += chunk
            if len(body) > upnp_igd.MAX_DOCUMENT_BYTES:
                raise RouterError("a document that is too long")
        return bytes(body)


class _Search(asyncio.DatagramProtocol):
    """Holds the URL in the router's first usable answer; answers of others are not looked at.

    It closes its transport itself: nobody else has it when the search is given up while the endpoint is being made.
    """

    def __init__(self, router: str, found: asyncio.Future[str]) -> None:
        self._router = router
        self._found = found
        self._transport: asyncio.BaseTransport | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self._closed:
            transport.close()

    def close(self) -> None:
        """Ends the transport, or the one that is yet to come."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[0] == self._router and not self._found.done():
            with contextlib.suppress(RouterError):
                self._found.set_result(upnp_igd.location(data, self._router))


async def _search(loop: asyncio.AbstractEventLoop, gateway: str, port: int) -> str:
    """Asks the router itself, and the group, since older ones listen there only."""
    found: asyncio.Future[str] = loop.create_future()
    protocol = _Search(gateway, found)
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: protocol, ("0.0.0.0", 0))
        for seconds in SEARCH_SECONDS:
            for host in (gateway, upnp_igd.SSDP_GROUP):
                transport.sendto(upnp_igd.search(host, port), (host, port))
            done, _ = await asyncio.wait({found}, timeout=seconds)
            if done:
                return found.result()
    finally:
        protocol.close()
    raise RouterError("no answer by UPnP")
