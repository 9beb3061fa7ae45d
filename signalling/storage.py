"""What outlives rooms and the process: the database, the files, and what becomes of both when nobody is in a room.

A `Storage` belongs to the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from signalling.archive import Archive
from signalling.file_disk import FileDisk
from signalling.file_exchange import FileExchange
from signalling.file_limits import FileLimits
from signalling.files import Files
from signalling.journal import FileJournal
from signalling.room import Room
from signalling.store import Store
from signalling.turnstile import Turnstile
from wire.measure import Measure


class Storage:
    """All of it, in the order in which it starts and ends."""

    def __init__(
        self,
        state: Path | None,
        limits: FileLimits,
        keep_seconds: float,
        room: Callable[[str], Room | None],
        turnstile: Turnstile,
        *,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """In the directory `state`; None: nothing outlives the process, and no files are taken.

        `room` finds an open room by its name; `keep_seconds`: how long a room outlives its last participant.
        """
        self.store = Store(state / "rooms.sqlite3" if state is not None else None)
        files = Files(limits if state is not None else FileLimits(max_bytes=0))
        disk = FileDisk((state or Path()) / "files", loop)
        self.exchange = FileExchange(files, disk, FileJournal(self.store), room, turnstile, clock, wall)
        self.archive = Archive(self.store, self.exchange, room, keep_seconds, clock, wall)
        self._loop = loop

    def start(self) -> None:
        """Finds what outlived the process before; blocks."""
        self.store.start()
        self.archive.load()

    def handle_timer(self) -> None:
        """Writes what has changed and forgets what is over."""
        self.exchange.handle_timer()
        self.archive.handle_timer()

    async def close(self) -> None:
        """Returns when all of it is written, after `archive.stop`."""
        for close in (self.exchange.close, self.archive.close):
            await self._loop.run_in_executor(None, close)

    def measures(self) -> Iterator[Measure]:
        """Everything countable about it."""
        yield from self.exchange.measures()
        yield from self.store.measures()
        yield Measure("stored_rooms", {}, self.archive.waiting)
