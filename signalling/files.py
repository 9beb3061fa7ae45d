"""The files of all rooms: which there are, how far their uploads are, and how much may be there. No input or output.

An upload becomes a file with its last byte. Files end with their room, at their age, or when they are taken away.
Belongs to the service; clocks are parameters (`now` monotonic seconds, `wall` seconds since 1970).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from enum import StrEnum

from signalling.access import new_token
from signalling.file_limits import FileLimits
from signalling.seat import Seat
from signalling.server_messages import FileView

# In all and of one room, uploads under way counted.
MAX_FILES = 10_000
MAX_FILES_OF_ROOM = 500
# An upload of which nothing came for so long is dropped, and makes way for another of its seat after the other time.
UNFINISHED_SECONDS = 3600.0
IDLE_SECONDS = 60.0
# How many that have gone are remembered as such.
MAX_FORMER = 4096


class Result(StrEnum):
    """What becomes of an upload."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    DROPPED = "dropped"
    """Nobody went on with it."""
    ROOM_ENDED = "room-ended"
    FORBIDDEN = "forbidden"
    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    NO_ROOM = "no-room"
    FAILED = "failed"
    """The disk did."""


class FilesFullError(Exception):
    """There is no room left for a file of that size."""


class TooManyUploadsError(Exception):
    """The seat has as many uploads under way as it may."""


class File:
    """A file, or an upload while `finished` is false."""

    __slots__ = ("bytes", "ended", "expires", "finished", "id", "name", "offset", "owner", "owner_name", "room", "to",
                 "touched_at")  # fmt: skip

    def __init__(
        self,
        room: str,
        owner: str,
        owner_name: str,
        name: str,
        size: int,
        to: str,
        *,
        expires: float,
        now: float,
        file_id: str = "",
    ) -> None:
        self.id = file_id or new_token()
        """Who knows it may have the file."""
        self.room = room
        self.owner = owner
        """Id of the participant who sends it."""
        self.owner_name = owner_name
        self.name = name
        self.bytes = size
        self.to = to
        """Id of the one participant it is for; empty: for all."""
        self.expires = expires
        """Wall time."""
        self.offset = 0
        """How much of it is on the disk."""
        self.finished = False
        self.ended = False
        """It can no longer be had."""
        self.touched_at = now
        """When something of it came last."""

    def view(self) -> FileView:
        """As it is told."""
        return FileView(id=self.id, name=self.name, bytes=self.bytes, expires=round(self.expires, 3))

    @property
    def path(self) -> str:
        """Its URL, relative to the server."""
        return f"/r/{self.room}/files/{self.id}"


class Files:
    """All of them, by id."""

    def __init__(self, limits: FileLimits) -> None:
        self.limits = limits
        self.results = dict.fromkeys(Result, 0)
        self._files: dict[str, File] = {}
        self._of_room: dict[str, dict[str, File]] = {}
        self._bytes_of_room: Counter[str] = Counter()
        self.promised_bytes = 0
        """Sizes of all, finished or not."""
        self._former: OrderedDict[str, None] = OrderedDict()

    def __iter__(self) -> Iterator[File]:
        return iter(list(self._files.values()))

    def __len__(self) -> int:
        return len(self._files)

    def get(self, room: str, file_id: str) -> File | None:
        """The file of that room, or upload."""
        file = self._files.get(file_id)
        return file if file is not None and file.room == room else None

    def was_there(self, file_id: str) -> bool:
        """Whether it is one of the last that have gone."""
        return file_id in self._former

    def of_room(self, room: str) -> list[File]:
        """All of that room, oldest first."""
        return list(self._of_room.get(room, {}).values())

    def awaited_bytes(self) -> int:
        """What uploads under way have yet to bring."""
        return sum(file.bytes - file.offset for file in self._files.values() if not file.finished)

    def begin(self, seat: Seat, name: str, size: int, to: str, now: float, wall: float) -> tuple[File, File | None]:
        """A new upload, and one of the same seat's that makes way for it; TooManyUploadsError, FilesFullError."""
        room, limits = seat.room.name, self.limits
        under_way = [each for each in self.of_room(room) if each.owner == seat.id and not each.finished]
        displaced: File | None = None
        if len(under_way) >= limits.uploads_of_seat:
            displaced = min(under_way, key=lambda each: each.touched_at)
            if now < displaced.touched_at + IDLE_SECONDS:
                raise TooManyUploadsError(f"{limits.uploads_of_seat} uploads are under way")
        freed = displaced.bytes if displaced is not None else 0
        if (
            len(self._files) >= MAX_FILES
            or len(self._of_room.get(room, ())) >= MAX_FILES_OF_ROOM
            or self._bytes_of_room[room] - freed + size > limits.room_bytes
            or self.promised_bytes - freed + size > limits.total_bytes
        ):
            raise FilesFullError("there is no room left for it")
        if displaced is not None:
            self.end(displaced, Result.DROPPED)
        file = File(room, seat.id, seat.name, name, size, to, expires=wall + limits.keep_seconds, now=now)
        self.add(file)
        return file, displaced

    def add(self, file: File) -> None:
        """One that is known already."""
        self._files[file.id] = file
        self._of_room.setdefault(file.room, {})[file.id] = file
        self._bytes_of_room[file.room] += file.bytes
        self.promised_bytes += file.bytes

    def finish(self, file: File, wall: float) -> None:
        """All of it is there; its age begins."""
        file.finished = True
        file.expires = wall + self.limits.keep_seconds
        self.results[Result.FINISHED] += 1

    def end(self, file: File, result: Result) -> bool:
        """It can no longer be had; whether it could until now. `result`: what became of it if it was no file yet."""
        if file.ended:
            return False
        file.ended = True
        if not file.finished:
            self.results[result] += 1
        del self._files[file.id]
        of_room = self._of_room[file.room]
        del of_room[file.id]
        self._bytes_of_room[file.room] -= file.bytes
        self.promised_bytes -= file.bytes
        if not of_room:
            del self._of_room[file.room], self._bytes_of_room[file.room]
        self._former[file.id] = None
        if len(self._former) > MAX_FORMER:
            self._former.popitem(last=False)
        return True

    def over(self, now: float, wall: float) -> list[File]:
        """What is too old, and uploads that nobody goes on with."""
        return [
            file
            for file in self._files.values()
            if (wall >= file.expires if file.finished else now >= file.touched_at + UNFINISHED_SECONDS)
        ]
