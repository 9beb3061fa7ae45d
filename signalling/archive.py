"""What becomes of a room and its things when nobody is in it: stored for a restart, kept for a while, or forgotten.

While rooms live all changes are written; nothing is read but at the start. Belongs to the service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from signalling.charter import Record
from signalling.chat import line_of
from signalling.file_exchange import FileExchange
from signalling.files import File
from signalling.journal import (
    RoomJournal,
    StoredRoom,
    forget_room,
    keep_room,
    mark_ended,
    stored_files,
    stored_rooms,
)
from signalling.records import Journal
from signalling.room import Room
from signalling.store import Store

logger = logging.getLogger(__name__)

# How long after a restart a room waits for somebody to come back.
RETURN_SECONDS = 3600.0
# Rooms that wait; the one whose time ends first makes way.
MAX_STORED_ROOMS = 1000


class Archive:
    """`signalling.records.Records` of a server."""

    def __init__(
        self,
        store: Store,
        exchange: FileExchange,
        room: Callable[[str], Room | None],
        keep_seconds: float,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`room` finds an open room by its name; `keep_seconds`: how long a room outlives its last participant."""
        self._store = store
        self._exchange = exchange
        self._room = room
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._wall = wall
        self._stored: dict[str, StoredRoom] = {}
        self._until: dict[str, float] = {}
        self._kept: set[str] = set()
        self._changed: dict[str, Room] = {}
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many rooms wait for somebody to come back."""
        return len(self._stored)

    # --- the start ---

    def load(self) -> None:
        """Finds what outlived the process before, files too; blocks."""
        now, wall = self._clock(), self._wall()
        for room in stored_rooms(self._store):
            since, seconds = wall, max(RETURN_SECONDS, self._keep_seconds)
            if room.ended_at is not None:
                since, seconds = room.ended_at, self._keep_seconds
            self._wait(room, since + seconds)
        self._forget_late()
        for file in self._exchange.load(stored_files(self._store, now), self._stored):
            self._arrived(file, wall)
        if self._stored:
            logger.info("rooms wait for their people", extra={"rooms": len(self._stored)})

    def _arrived(self, file: File, wall: float) -> None:
        """All of an upload was there, and nobody had been told."""
        journal = self.journal(self._stored[file.room].id)
        line = line_of(file.owner, file.owner_name, "", file.to, file.view(), wall)
        self._stored[file.room].lines.append(line)
        journal.line(line)

    # --- records ---

    def read(self, name: str) -> Record | None:
        """See Records."""
        room = self._stored.get(name)
        return room.record if room is not None and self._wall() < self._until[name] else None

    def restore(self, room: Room) -> None:
        """See Records. It goes on waiting until somebody has come in."""
        stored = self._stored.get(room.name)
        if stored is not None and stored.id == room.id:
            room.chat.restore(stored.lines)
            room.questions.restore(stored.questions)

    def journal(self, room_id: str) -> Journal:
        """See Records."""
        return RoomJournal(self._store, room_id)

    def changed(self, room: Room) -> None:
        """See Records. The first time at once, so that no password is lost."""
        if self._stopped:
            return
        if room.id in self._kept:
            self._changed[room.id] = room
        else:
            self._kept.add(room.id)
            keep_room(self._store, room.id, room.name, room.record())

    def ended(self, room: Room) -> None:
        """See Records."""
        self._kept.discard(room.id)
        self._changed.pop(room.id, None)
        self._stored.pop(room.name, None)
        self._until.pop(room.name, None)
        if self._keep_seconds and not room.over:
            wall = self._wall()
            keep_room(self._store, room.id, room.name, room.record())
            mark_ended(self._store, room.id, wall)
            stored = StoredRoom(room.id, room.name, room.record(), wall, room.chat.lines(), room.questions.all())
            self._wait(stored, wall + self._keep_seconds)
        else:
            self._forget(room.id, room.name)

    # --- time ---

    def handle_timer(self) -> None:
        """Writes what has changed, and forgets the rooms nobody comes back to."""
        self._write_changed()
        self._forget_late()

    def stop(self) -> None:
        """What changes from now on does so because the server ends, and is not to be found again."""
        self._write_changed()
        self._stopped = True

    def close(self) -> None:
        """Returns when all of it is written; blocks."""
        self._store.close()

    def _write_changed(self) -> None:
        for room in self._changed.values():
            keep_room(self._store, room.id, room.name, room.record())
        self._changed.clear()

    def _wait(self, room: StoredRoom, until: float) -> None:
        self._stored[room.name] = room
        self._until[room.name] = until
        if len(self._stored) > MAX_STORED_ROOMS:
            self._let_go(min(self._until, key=self._until.__getitem__))

    def _forget_late(self) -> None:
        """A room that is open is not forgotten; somebody who has come in is why it waits no more."""
        wall = self._wall()
        for name in list(self._stored):
            room = self._room(name)
            if room is not None and room.was_entered:
                del self._stored[name], self._until[name]
                self.changed(room)
            elif room is None and wall >= self._until[name]:
                self._let_go(name)

    def _let_go(self, name: str) -> None:
        room = self._stored.pop(name)
        del self._until[name]
        if self._room(name) is None:
            self._forget(room.id, name)

    def _forget(self, room_id: str, name: str) -> None:
        forget_room(self._store, room_id)
        self._exchange.room_ended(name)
