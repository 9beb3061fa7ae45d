"""A room full of attendees who take turns at speaking: enter, wait, measure."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from benchmarks.attendee import Attendee
from benchmarks.daemon import HOST, room_url
from benchmarks.media import FOREIGN, Engine, Latency
from benchmarks.process import CpuTime, Server
from wire.dtls import DtlsContext

SPEECH_SECONDS = 4.0
ENTRANCE_SECONDS = 0.25
PEOPLE_PER_SOURCE = 40  # the server bounds joins of one address


@dataclass(frozen=True)
class Flow:
    """Bytes a second of one participant, both connections, with IP and UDP headers."""

    up: float
    down: float


@dataclass
class Interval:
    """What was seen between two moments."""

    seconds: float
    flows: list[Flow]
    cpu: CpuTime
    rss_bytes: int
    packets_in: int
    packets_out: int
    padding_bytes: int
    audio: Latency
    video: Latency
    generator_cpu_seconds: float

    @property
    def core(self) -> float:
        """The server's share of a core."""
        return self.cpu.total / self.seconds

    @property
    def host(self) -> Flow:
        """What the server takes and gives."""
        return Flow(sum(flow.down for flow in self.flows), sum(flow.up for flow in self.flows))


@dataclass
class Meeting:
    """Everybody in one room. Attendee n comes from a loopback address of its own forty."""

    engine: Engine
    room: str = "bench"
    context: DtlsContext = field(default_factory=DtlsContext)
    people: list[Attendee] = field(default_factory=list)
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)
    _talk: asyncio.Task[None] | None = None

    def invite(self, shown: tuple[int, int] | None = None) -> Attendee:
        """The next attendee, not yet in the room."""
        number = len(self.people)
        if number // PEOPLE_PER_SOURCE == len(self._sessions):
            source = f"{HOST.rsplit('.', 1)[0]}.{2 + len(self._sessions)}"
            connector = aiohttp.TCPConnector(local_addr=(source, 0), limit=0)
            self._sessions.append(aiohttp.ClientSession(connector=connector))
        session = self._sessions[number // PEOPLE_PER_SOURCE]
        attendee = Attendee(session, room_url(self.room), number, self.engine, shown)
        attendee.context = attendee._subscribe_credentials.context = self.context
        self.people.append(attendee)
        return attendee

    async def gather(self, count: int, settings: dict[str, object] | None = None) -> None:
        """So many enter one after the other, and speak in turn."""
        for number in range(count):
            attendee = self.invite()
            await attendee.enter(settings=settings if not number else None)
            await attendee.show()
            await asyncio.sleep(ENTRANCE_SECONDS)
        self._talk = asyncio.create_task(self._take_turns())

    async def _take_turns(self) -> None:
        while True:
            for attendee in self.people:
                if attendee.publishing < 0:
                    continue
                attendee.talk(talking=True)
                await asyncio.sleep(SPEECH_SECONDS)
                attendee.talk(talking=False)

    def traffic(self) -> list[tuple[int, ...]]:
        """Bytes up, bytes down, packets up, packets down, padding, by attendee."""
        rows = []
        for attendee in self.people:
            used = [index for index in (attendee.publishing, attendee.subscribing) if index >= 0]
            each = [self.engine.traffic(index) for index in used]
            rows.append(
                (
                    sum(one.bytes_out for one in each),
                    sum(one.bytes_in for one in each),
                    sum(one.packets_out for one in each),
                    sum(one.packets_in for one in each),
                    sum(one.padding_bytes for one in each),
                )
            )
        return rows

    async def observe(self, server: Server, seconds: float) -> Interval:
        """Measures for a while."""
        loop = asyncio.get_running_loop()
        for video in (False, True):
            self.engine.latency(video=video)
        for attendee in self.people:
            attendee.reports("video", fresh=True)
        before, cpu, cost, began = self.traffic(), server.cpu(), self.engine.cost()[0], loop.time()
        await asyncio.sleep(seconds)
        after, took = self.traffic(), loop.time() - began
        used = server.cpu().since(cpu)
        change = [[now - then for now, then in zip(*pair, strict=True)] for pair in zip(after, before, strict=True)]
        return Interval(
            took,
            [Flow(row[0] / took, row[1] / took) for row in change],
            used,
            server.memory_bytes(),
            sum(row[2] for row in change),
            sum(row[3] for row in change),
            sum(row[4] for row in change),
            self.engine.latency(video=False),
            self.engine.latency(video=True),
            self.engine.cost()[0] - cost,
        )

    def join_seconds(self) -> list[float]:
        """From opening the socket to the first whole keyframe, of each tile of who was there already."""
        by_id = {attendee.id: attendee for attendee in self.people}
        return [
            report.first_keyframe_at / 1e9 - attendee.opened_at
            for attendee in self.people
            for slot, report in attendee.reports("video")
            if report.first_keyframe_at and by_id[slot.participant].opened_at < attendee.opened_at
        ]

    def strangers(self) -> int:
        """Slots whose picture is not that of whom `slots` names; who is not of ours is a browser."""
        numbers = {attendee.id: attendee.number for attendee in self.people}
        return sum(
            report.source != numbers.get(slot.participant, FOREIGN)
            for attendee in self.people
            for kind in ("audio", "video")
            for slot, report in attendee.reports(kind)
            if report.packets
        )

    def faults(self) -> dict[str, int]:
        """Of all attendees together; lost packets of audio and video with them."""
        found: dict[str, int] = {}
        for attendee in self.people:
            for name, count in attendee.faults().items():
                found[name] = found.get(name, 0) + count
            for kind in ("audio", "video"):
                for _, report in attendee.reports(kind):
                    found[f"{kind}_lost"] = found.get(f"{kind}_lost", 0) + report.lost
                    found["unheard"] = found.get("unheard", 0) + report.unheard
        found["strangers"] = self.strangers()
        found["refusals"] = sum(len(attendee.refusals) for attendee in self.people)
        return found

    def faults_found(self) -> dict[str, int]:
        """Those of `faults` that there are."""
        return {name: count for name, count in self.faults().items() if count}

    async def leave(self) -> None:
        """All go."""
        if self._talk:
            self._talk.cancel()
            with suppress(asyncio.CancelledError):
                await self._talk
        for attendee in self.people:
            await attendee.leave()
        for session in self._sessions:
            await session.close()
        self.people, self._sessions = [], []


def fault_column(faults: Mapping[str, int]) -> str:
    """For a table."""
    return ", ".join(f"{name} {count}" for name, count in faults.items()) or "none"


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Median and greatest; zeros of nothing."""
    return (statistics.median(values), max(values)) if values else (0.0, 0.0)
