"""Lets costly work onto the event loop in turns, so that a crowd that comes at once does not hold up what flows.

One join or one negotiation costs a millisecond or so. All of them pass here, one of each socket at a time: the loop
does about BUDGET_SECONDS of such work, serves its sockets (media among them), and takes the next turn. Belongs to the
service.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import TypeVar

BUDGET_SECONDS = 0.002

Result = TypeVar("Result")


class Rank(IntEnum):
    """Who goes first. Within a rank, who came first."""

    TELLING = 0
    """What is sent to those who are there."""
    STAGE = 1
    """Meetings, stages, and everybody who comes back to a seat."""
    AUDIENCE = 2
    """Viewers of broadcast rooms."""
    ARRIVAL = 3
    """Sockets that open."""
    FILES = 4
    """Pieces of files, which can wait for everybody."""


class Turnstile:
    """A queue of work for each rank. A turn that began a piece of work ends it, however long it takes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` is read after each piece of work, so it must not stand still during a turn of the loop."""
        self._loop = loop
        self._clock = clock
        self._queues: dict[Rank, deque[Callable[[], None]]] = {rank: deque() for rank in Rank}
        self._scheduled = False
        self._until = 0.0

    @property
    def waiting(self) -> int:
        """How much work waits for its turn."""
        return sum(map(len, self._queues.values()))

    async def run(self, rank: Rank, work: Callable[[], Result]) -> Result:
        """What `work` returns or raises, in a later turn of the loop. Who is cancelled meanwhile is passed over."""
        done: asyncio.Future[Result] = self._loop.create_future()
        self.put(rank, lambda: _settle(done, work))
        return await done

    def put(self, rank: Rank, work: Callable[[], None]) -> None:
        """Has `work`, which does not fail, done in a later turn of the loop."""
        self._queues[rank].append(work)
        self._schedule()

    async def turn(self, rank: Rank, seconds: float) -> None:
        """Waits for a turn of the loop in which there is time for what the caller does next, some `seconds` long."""
        await self.run(rank, lambda: self._spend(seconds))

    def _spend(self, seconds: float) -> None:
        self._until -= seconds

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._until = self._clock() + BUDGET_SECONDS
        for rank in Rank:
            queue = self._queues[rank]
            while queue:
                queue.popleft()()
                if self._clock() >= self._until:
                    if self.waiting:
                        self._schedule()
                    return


def _settle(done: asyncio.Future[Result], work: Callable[[], Result]) -> None:
    if done.done():
        return
    try:
        result = work()
    except Exception as error:
        done.set_exception(error)
    else:
        done.set_result(result)
