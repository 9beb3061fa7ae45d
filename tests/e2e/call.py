"""A person at the page: joins, looks at what is decoded, presses buttons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.e2e.browsers import Browser

# The page's own: a connection may be closed before it has answered, and then Firefox never does.
STATS_OF = """const { statsOf } = await import(
    document.querySelector('link[rel="modulepreload"][href*="/stats."]').href);"""

STATS = f"""(async () => {{
  const connection = document.querySelector('turnd-call')?.call?.subscribeConnection;
  if (!connection) return [];
  {STATS_OF}
  const report = await statsOf(connection);
  if (!report) return [];
  return [...report.values()].filter(s => s.type === 'inbound-rtp').map(s => ({{
    kind: s.kind, mid: s.mid ?? '', packets: s.packetsReceived ?? 0, frames: s.framesDecoded ?? 0,
    samples: s.totalSamplesReceived ?? 0, freezes: s.freezeCount ?? 0, frozen: s.totalFreezesDuration ?? 0,
    lost: s.packetsLost ?? 0, retransmitted: s.retransmittedPacketsReceived ?? 0, nacks: s.nackCount ?? 0,
    plis: s.pliCount ?? 0, width: s.frameWidth ?? 0}}));
}})()"""

SENT = f"""(async () => {{
  const connection = document.querySelector('turnd-call').call.publishConnection;
  if (!connection) return [];
  {STATS_OF}
  const report = await statsOf(connection);
  if (!report) return [];
  return [...report.values()].filter(s => s.type === 'outbound-rtp').map(s => ({{
    kind: s.kind, rid: s.rid ?? '', active: s.active ?? null, bytes: s.bytesSent ?? 0, width: s.frameWidth ?? 0,
    frames: s.framesEncoded ?? 0, codec: report.get(s.codecId)?.mimeType ?? '', mode: s.scalabilityMode ?? ''}}));
}})()"""

VIDEOS = """[...document.querySelectorAll('video[data-participant]')]
  .filter(v => v.dataset.participant !== document.querySelector('turnd-call').dataset.self)
  .filter(v => v.videoWidth > 0 && !v.paused)
  .map(v => ({participant: v.dataset.participant, source: v.dataset.source,
              width: v.videoWidth, height: v.videoHeight}))"""

PAIR = """(async () => {
  const connection = document.querySelector('turnd-call').call.%sConnection;
  %s
  const report = await statsOf(connection);
  if (!report) return null;
  const values = [...report.values()];
  const transport = values.find(s => s.type === 'transport' && s.selectedCandidatePairId);
  const pair = transport ? report.get(transport.selectedCandidatePairId)
    : values.find(s => s.type === 'candidate-pair' && (s.selected || s.nominated) && s.state === 'succeeded');
  if (!pair) return null;
  const local = report.get(pair.localCandidateId), remote = report.get(pair.remoteCandidateId);
  return {type: local.candidateType, protocol: local.protocol, relay: local.relayProtocol ?? '', url: local.url ?? '',
          remote: `${remote.address ?? remote.ip}:${remote.port}`, port: local.port};
})()"""


async def until(what: str, probe: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """Polls a page or process we cannot await until `probe` gives something true; says what it last gave otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        value = await probe()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last: {value!r}")
        await asyncio.sleep(0.1)


class Person:
    """One participant: a browser on the page of a room."""

    def __init__(self, name: str, browser: Browser) -> None:
        self.name = name
        self.browser = browser

    async def join(self, url: str, button: str = "join") -> None:
        """Opens the room, types a name, presses join; with "join-silently" no device is opened."""
        await self.browser.open(url)
        await self.browser.fill('[data-field="name"]', self.name)
        await self.browser.click(f'[data-action="{button}"]')

    async def inbound(self) -> list[dict[str, Any]]:
        """The inbound RTP statistics of what this person receives."""
        return await self.browser.evaluate(STATS)

    async def outbound(self) -> list[dict[str, Any]]:
        """The outbound RTP statistics of what this person sends."""
        return await self.browser.evaluate(SENT)

    async def sees(self) -> list[dict[str, Any]]:
        """The others' videos that show a picture."""
        return await self.browser.evaluate(VIDEOS)

    async def pair(self, connection: str = "publish") -> dict[str, Any] | None:
        """The selected candidate pair of the publish or subscribe connection."""
        return await self.browser.evaluate(PAIR % (connection, STATS_OF))

    async def progress(self) -> tuple[list[int], list[int]]:
        """(frames decoded of each video, samples received of each audio) of the streams that have any."""
        streams = await self.inbound()
        frames = [s["frames"] for s in streams if s["kind"] == "video" and s["frames"]]
        samples = [s["samples"] for s in streams if s["kind"] == "audio" and s["samples"] and s["packets"]]
        return frames, samples

    async def situation(self) -> str:
        """What this person sees and sends and why, for the message of a failure."""
        store = "document.querySelector('turnd-call').call.store.state"
        received = await self.browser.evaluate(f"{store}.received")
        return f"sees {await self.sees()}; the server says {received}; sends {await self.outbound()}"

    async def sees_others(self, count: int, seconds: float = 20) -> None:
        """Awaits that `count` others are seen and heard."""

        async def probe() -> bool:
            frames, samples = await self.progress()
            return len(await self.sees()) >= count and len(frames) >= count and len(samples) >= count

        try:
            await until(f"{self.name} sees {count}", probe, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; streams {await self.inbound()}; videos {await self.sees()}") from None

    async def moving(self, count: int) -> bool:
        """Whether `count` others' pictures and sounds advance within one second."""
        before = await self.inbound()
        await asyncio.sleep(1)
        after = {(s["kind"], s["mid"]): s for s in await self.inbound()}
        moved = [s for s in before if after.get((s["kind"], s["mid"]), s)["packets"] > s["packets"]]
        video = sum(1 for s in moved if s["kind"] == "video" and after[(s["kind"], s["mid"])]["frames"] > s["frames"])
        audio = sum(1 for s in moved if s["kind"] == "audio" and after[(s["kind"], s["mid"])]["samples"] > s["samples"])
        return video >= count and audio >= count
