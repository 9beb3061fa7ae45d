"""Routers of the tests' own on loopback, as far as telling an outside address goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

NOBODY = 9  # a port where no router listens
NAT_PMP_ANSWER = bytes([0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7])


class NatPmpRouter(asyncio.DatagramProtocol):
    """Answers each question with `answer`, from the `ignored` + 1st on."""

    def __init__(self, answer: bytes, ignored: int = 0) -> None:
        self.answer = answer
        self.ignored = ignored
        self.questions: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.questions.append(data)
        if len(self.questions) > self.ignored:
            self.transport.sendto(self.answer, addr)


@asynccontextmanager
async def nat_pmp_router(answer: bytes, ignored: int = 0) -> AsyncIterator[tuple[NatPmpRouter, int]]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(lambda: NatPmpRouter(answer, ignored), ("127.0.0.1", 0))
    try:
        yield made, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


DESCRIPTION = """<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceList><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1</serviceType>
<controlURL>/common</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType><controlURL>ppp</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ip</controlURL></service>
</serviceList></device></deviceList></device></root>"""


def told(address: str) -> str:
    """The answer to GetExternalIPAddress."""
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        '<u:GetExternalIPAddressResponse xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:1">'
        f"<NewExternalIPAddress>{address}</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>"
    )


class UpnpRouter(asyncio.DatagramProtocol):
    """Answers searches with `location`; its PPP connection is down, its IP connection tells `answer`."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.location = ""
        self.actions: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(f"HTTP/1.1 200 OK\r\nLocation: {self.location}\r\n\r\n".encode(), addr)

    async def describe(self, _request: web.Request) -> web.Response:
        return web.Response(text=DESCRIPTION)

    async def act(self, request: web.Request) -> web.Response:
        self.actions.append(request.headers["SOAPAction"])
        if request.path == "/igd/ppp":
            return web.Response(text=told("0.0.0.0"))
        return web.Response(text=self.answer)


@asynccontextmanager
async def upnp_router(answer: str) -> AsyncIterator[tuple[UpnpRouter, int]]:
    """The router and the port it is searched on."""
    made = UpnpRouter(answer)
    app = web.Application()
    app.add_routes([web.get("/igd/root.xml", made.describe), web.post("/ip", made.act), web.post("/igd/ppp", made.act)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.location = f"http://127.0.0.1:{runner.addresses[0][1]}/igd/root.xml"
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: made, ("127.0.0.1", 0))
    try:
        yield made, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
        await runner.cleanup()
