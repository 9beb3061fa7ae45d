"""Clients that send what they may not, with real media (aiortc) over the real SFU: nobody gets it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import aioice.ice
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack

from sfu.service import SfuService, SfuSettings
from tests.signalling.house import House

SECONDS = 20
# So many more of what is forwarded show that what is not would have come.
ENOUGH = 15
BOTH = ("audio", "video")


class Caller:
    """Somebody in a call who counts what arrives, by kind."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.publisher = RTCPeerConnection()
        self.subscriber = RTCPeerConnection()
        self.arrived: Counter[str] = Counter()
        self.told: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self.subscriber.on("track", lambda track: self._spawn(self._count(track)))
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._listen())

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _count(self, track: Any) -> None:
        try:
            while True:
                await track.recv()
                self.arrived[track.kind] += 1
                self.changed.set()
        except MediaStreamError:
            pass

    async def _listen(self) -> None:
        async for frame in self.socket:
            message = json.loads(frame.data)
            self.told.append(message)
            if message["type"] == "offer":
                await self.subscriber.setRemoteDescription(RTCSessionDescription(message["sdp"], "offer"))
                await self.subscriber.setLocalDescription(await self.subscriber.createAnswer())
                sdp = self.subscriber.localDescription.sdp
                await self.send(type="answer", sdp=sdp, generation=message["generation"])
            if message["type"] == "published":
                await self.publisher.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
            self.changed.set()

    async def send(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def hear(self, type_: str, **content: Any) -> dict[str, Any]:
        def heard() -> list[dict[str, Any]]:
            return [each for each in self.told if each["type"] == type_ and content.items() <= each.items()]

        await self.until(heard)
        return heard()[-1]

    async def publish(self, *kinds: str) -> None:
        if not self.publisher.getTransceivers():
            for kind in kinds:
                track = AudioStreamTrack() if kind == "audio" else VideoStreamTrack()
                self.publisher.addTransceiver(track, "sendonly")
            await self.publisher.setLocalDescription(await self.publisher.createOffer())
        sources = {"audio": "microphone", "video": "camera"}
        tracks = [{"mid": each.mid, "source": sources[each.kind]} for each in self.publisher.getTransceivers()]
        await self.send(type="publish", sdp=self.publisher.localDescription.sdp, tracks=tracks)

    async def more(self, kind: str) -> Counter[str]:
        """What came while ENOUGH of that kind did."""
        before = self.arrived.copy()
        await self.until(lambda: self.arrived[kind] >= before[kind] + ENOUGH)
        return self.arrived - before

    async def close(self) -> None:
        await self.publisher.close()
        await self.subscriber.close()
        await self.socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


Call = Callable[[str], Awaitable[Caller]]


@pytest.fixture
async def call(open_house: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Call]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    sfu = SfuService(SfuSettings(0), loop=asyncio.get_running_loop())
    await sfu.start()
    sfu.set_candidates(["127.0.0.1"])
    house: House = await open_house(sfu=sfu)
    callers: list[Caller] = []

    async def come(name: str) -> Caller:
        caller = Caller(await house.http.ws_connect(f"{house.url}/r/garden/ws", max_msg_size=0))
        callers.append(caller)
        await caller.send(type="join", version=1, name=name)
        await caller.hear("joined")
        return caller

    yield come
    for caller in callers:
        await caller.close()
    await house.service.close()
    await sfu.close()


async def test_nobody_hears_who_turns_a_microphone_on_without_the_right(call: Call) -> None:
    ada, eve = await call("Ada"), await call("Eve")
    await ada.send(type="rules", rights={"unmute": False})
    await eve.hear("rules")
    await eve.publish(*BOTH)
    await ada.until(lambda: ada.arrived["video"] >= 5)
    for _ in range(2):
        await eve.send(type="state", microphone=True)
        await eve.publish(*BOTH)
        assert (await ada.more("video"))["audio"] == 0
    assert ada.arrived["audio"] == 0
    await ada.send(type="rules", rights={"unmute": True})
    await eve.send(type="state", microphone=True)
    await ada.more("audio")


async def test_nobody_hears_who_was_muted_and_goes_on_and_nobody_sees_who_was_removed(call: Call) -> None:
    ada, eve = await call("Ada"), await call("Eve")
    await eve.publish(*BOTH)
    await ada.until(lambda: ada.arrived["audio"] and ada.arrived["video"])
    [joined] = [each for each in eve.told if each["type"] == "joined"]
    await ada.send(type="moderate", action="mute", participant=joined["self"])
    await eve.hear("moderated", action="mute", by="Ada")
    await ada.more("video")
    assert (await ada.more("video"))["audio"] == 0
    await ada.send(type="moderate", action="remove", participant=joined["self"])
    await ada.hear("participant", event="left")
    await eve.until(lambda: eve.socket.closed)
    bob = await call("Bob")
    await bob.publish("audio")
    await ada.more("audio")
    assert (await ada.more("audio"))["video"] == 0
