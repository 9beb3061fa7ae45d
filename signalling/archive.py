"""What becomes of all that belongs to a room when the room ends. Belongs to the service."""

from __future__ import annotations

from signalling.charter import Record
from signalling.file_exchange import FileExchange
from signalling.room import Room


class Archive:
    """`signalling.records.Records` of a server."""

    def __init__(self, exchange: FileExchange) -> None:
        self._exchange = exchange

    def read(self, name: str) -> Record | None:
        """See Records."""
        del name
        return None

    def changed(self, room: Room) -> None:
        """See Records."""

    def ended(self, room: Room) -> None:
        """See Records."""
        self._exchange.room_ended(room.name)
