"""Many people without many browsers: real participants of ours in the room of a browser, with grey pictures or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.attendee import SIMULCAST, Attendee
from benchmarks.media import Engine

NAMES = (
    *("Aminata Diallo", "Bob", "Chloé Martin", "Dmitri Ivanov", "Élodie", "Farid Benali", "Grace Hopper", "Hugo"),
    *("Inès de la Tour-Saint-Pierre", "Jun Tanaka", "Karim", "Léa", "Mo", "Nadia", "Oscar Wilde", "Paula"),
    *("Quentin", "Rosa Luxemburg", "Sami", "Théo", "Ursula", "Vera", "Wassily", "Xavier"),
)
SPEECH = "microphone"


class Crowd:
    """Those who are in a room and are no browsers."""

    def __init__(self, http: aiohttp.ClientSession, engine: Engine, url: str) -> None:
        self._http, self._engine, self._url = http, engine, url
        self.people: list[Attendee] = []

    async def come(self, count: int, *, show: bool = True) -> Sequence[Attendee]:
        """So many more; with `show` they are seen."""
        first = len(self.people)
        for number in range(first, first + count):
            attendee = Attendee(self._http, self._url, number, self._engine, (320, 180))
            attendee.name = NAMES[number % len(NAMES)]
            self.people.append(attendee)
            await attendee.enter()
            if show:
                await attendee.show()
                await attendee.socket.send_json({"type": "state", "microphone": True, "camera": True, "screen": False})
        return self.people[first:]

    async def leave(self) -> None:
        """All go."""
        for attendee in self.people:
            await attendee.leave()
        self.people = []


@asynccontextmanager
async def crowd(room: str) -> AsyncIterator[Crowd]:
    """People for this room (its page's URL)."""
    engine = Engine()
    engine.mix([(width, height) for _, width, height, _ in SIMULCAST[:-1]])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        made = Crowd(http, engine, f"{room}/ws")
        try:
            yield made
        finally:
            await made.leave()
            await asyncio.to_thread(engine.stop)
