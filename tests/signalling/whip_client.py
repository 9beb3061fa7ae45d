"""A client of one WHIP or WHEP endpoint, over real sockets."""

from __future__ import annotations

from typing import Any

from tests.sfu.peers import recorded
from tests.signalling.house import House

OBS = recorded("obs_whip")
AGENT = {"User-Agent": "Mozilla/5.0 (OBS-Studio/30.2.3; Linux x86_64; en-US)"}
FRAGMENT = "application/trickle-ice-sdpfrag"
TRICKLE = "a=ice-ufrag:KZLY\r\na=ice-pwd:yUJ7vBzYzS1yB1xMU2qMhc\r\na=end-of-candidates\r\n"
RESTART = "a=ice-ufrag:fresh\r\na=ice-pwd:yUJ7vBzYzS1yB1xMU2qMhc\r\n"


class Whip:
    """A client of one endpoint that keeps what it is told."""

    def __init__(self, house: House, path: str = "/r/garden/whip", token: str = "") -> None:
        self.house = house
        self.path = path
        self.headers = {**AGENT, **({"Authorization": f"Bearer {token}"} if token else {})}
        self.location = self.etag = ""

    async def ask(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Any:
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.house.http.request(method, self.house.url + path, data=body, headers=sent) as response:
            await response.read()
            return response

    async def post(self, offer: str = OBS, query: str = "", **headers: str) -> Any:
        response = await self.ask("POST", self.path + query, offer, **{"Content_Type": "application/sdp", **headers})
        if response.status == 201:
            self.location, self.etag = response.headers["Location"], response.headers["ETag"]
        return response

    async def patch(self, body: str = TRICKLE, match: str | None = None, **headers: str) -> Any:
        condition = {} if match == "" else {"If_Match": match or self.etag}
        return await self.ask("PATCH", self.location, body, **{"Content_Type": FRAGMENT, **condition, **headers})

    async def delete(self) -> Any:
        return await self.ask("DELETE", self.location)
