"""Files on their way: from uploads to the disk, from there to who asks, and what their rooms are told.

Memory is the same whatever the size: a batch of each upload and a piece of each download. Both pass the turnstile,
behind everything else, so that media flows between two of them; downloads share a rate, for calls need the uplink too.
Belongs to the service, whose event loop it never blocks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from aiohttp import StreamReader, web

from signalling.file_disk import FileDisk
from signalling.file_headers import UploadMetadata
from signalling.files import File, Files, FilesFullError, Result
from signalling.journal import FileJournal
from signalling.room import Room
from signalling.seat import ForbiddenError, Seat, tell
from signalling.server_messages import FileGone
from signalling.turnstile import Rank, Turnstile
from wire.measure import Measure

logger = logging.getLogger(__name__)

# What is written, and read, at a time.
BATCH_BYTES = 512 * 1024
PIECE_BYTES = 128 * 1024
# Where a rate holds, no burst is longer than so long of it, or than so many bytes.
BURST_SECONDS = 0.02
MIN_PIECE_BYTES = 4096
# About what TLS, HTTP and copying take of the loop.
SECONDS_A_BYTE = 1e-9
# How long an upload may bring nothing, and a download's client take nothing, before its connection is cut.
SILENCE_SECONDS = 30.0
STALL_SECONDS = 60.0
# What is left free on the disk.
FREE_BYTES = 512 * 1024**2
# Of sfu.uplink_bps, when files have no rate of their own.
UPLINK_SHARE = 0.25
MAX_DOWNLOADS = 256
MAX_DOWNLOADS_OF_SOURCE = 32

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FileGoneError(Exception):
    """It was taken away meanwhile."""


class TooManyDownloadsError(Exception):
    """The server, or the client's address, has as many under way as it may."""


class Pace:
    """A rate that is shared by who reads: each waits for its turn, nothing is dropped."""

    def __init__(self) -> None:
        self.bytes_per_second = 0.0
        """0: as fast as it goes."""
        self._free_at = 0.0

    @property
    def piece_bytes(self) -> int:
        """How much is sent at a time."""
        if not self.bytes_per_second:
            return PIECE_BYTES
        return int(min(PIECE_BYTES, max(MIN_PIECE_BYTES, self.bytes_per_second * BURST_SECONDS)))

    def spend(self, size: int, now: float) -> float:
        """How long to wait before sending `size` bytes."""
        if not self.bytes_per_second:
            return 0.0
        start = max(self._free_at, now)
        self._free_at = start + size / self.bytes_per_second
        return start - now


class _Receiving:
    """An upload's present request, which the next one ends."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport
        self.over = asyncio.Event()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class FileExchange:
    """Carries bytes, and tells rooms."""

    def __init__(
        self,
        files: Files,
        disk: FileDisk,
        journal: FileJournal,
        room: Callable[[str], Room | None],
        turnstile: Turnstile,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`room` finds a living room by its name; `journal` is told of all that is to outlive the process."""
        self.files = files
        self.pace = Pace()
        self.received_bytes = 0
        self.sent_bytes = 0
        self.disk_errors = 0
        self._disk = disk
        self._journal = journal
        self._room = room
        self._turnstile = turnstile
        self._clock = clock
        self._wall = wall
        self._receiving: dict[str, _Receiving] = {}
        self._downloads: Counter[str] = Counter()

    def set_rate(self, download_bps: int, uplink_bps: int) -> None:
        """What all downloads together may take: their own rate, else a share of the uplink where that has a bound."""
        self.pace.bytes_per_second = (download_bps or uplink_bps * UPLINK_SHARE) / 8

    def load(self, files: Iterable[File], rooms: Collection[str]) -> list[File]:
        """Takes those that are on the disk as they should be and are of `rooms`, and sweeps it; blocks, for the start.

        Uploads of which all was there, without anybody being told, are files now: these are returned.
        """
        arrived: list[File] = []
        try:
            sizes = self._disk.sizes()
        except OSError as error:
            self.disk_errors += 1
            logger.error("the directory of files cannot be read", extra={"reason": error.strerror})
            return arrived
        for file in files:
            size = sizes.get(file.id, -1)
            if file.room not in rooms or size < 0 or (file.finished and size != file.bytes):
                self._journal.file_gone(file.id)
                continue
            file.offset = min(size, file.bytes)
            self.files.add(file)
            if file.offset == file.bytes and not file.finished:
                self.files.finish(file, self._wall())
                self._journal.file(file)
                arrived.append(file)
        orphans = self._disk.sweep({file.id for file in self.files})
        if orphans:
            logger.info("files of no room were taken away", extra={"files": orphans})
        return arrived

    # --- uploads ---

    async def begin(self, seat: Seat, metadata: UploadMetadata, size: int) -> File:
        """A new upload, or a file if there is nothing to come.

        FilesFullError, TooManyUploadsError, FileGoneError (with its room), OSError.
        """
        file, displaced = self.files.begin(seat, metadata.name, size, metadata.to, self._clock(), self._wall())
        if displaced is not None:
            self._discard(displaced)
        self._journal.file(file)
        try:
            await self._disk.create(file.id)
            if await self._disk.free_bytes() - self.files.awaited_bytes() < FREE_BYTES:
                raise FilesFullError("the disk is full")
        except FilesFullError:
            self.drop(file, Result.NO_ROOM)
            raise
        except OSError as error:
            self._failed(file, error)
            raise
        if file.ended:
            # It may have been taken away from the disk before it was there.
            self._disk.remove(file.id)
            raise FileGoneError
        if size == 0:
            await self._finish(seat, file)
        return file

    async def claim(self, file: File) -> None:
        """Ends the request that is bringing the upload, if there is one: its client has come back by another way."""
        while (receiving := self._receiving.get(file.id)) is not None:
            receiving.cut()
            await receiving.over.wait()

    async def receive(self, request: web.Request, seat: Seat, file: File) -> bool:
        """Adds the body to the upload, as much as comes; whether it was too much. After `claim`, without a pause.

        Whatever ends it, what has come is there for the next request, and if that is all of it the room is told.
        FileGoneError, ForbiddenError, OSError, TimeoutError, ConnectionError, and what aiohttp raises for a body that
        is none.
        """
        with self._bringing(file, request.transport):
            try:
                excess = await self._take(request.content, file)
            except Exception:
                await self._finish_if_whole(seat, file)
                raise
            if file.ended:
                raise FileGoneError
            await self._finish_if_whole(seat, file)
            return excess

    async def complete(self, seat: Seat, file: File) -> None:
        """Tells the room of an upload of which all is there; as `receive`, but nothing comes."""
        with self._bringing(file, None):
            await self._finish_if_whole(seat, file)

    @contextmanager
    def _bringing(self, file: File, transport: asyncio.Transport | None) -> Iterator[None]:
        """For one request at a time."""
        self._receiving[file.id] = receiving = _Receiving(transport)
        try:
            yield
        finally:
            del self._receiving[file.id]
            receiving.over.set()
            if file.ended:
                self._disk.remove(file.id)

    async def _finish_if_whole(self, seat: Seat, file: File) -> None:
        if file.offset == file.bytes and not file.finished and not file.ended:
            await self._finish(seat, file)

    async def _take(self, content: StreamReader, file: File) -> bool:
        batch: list[bytes] = []
        size = 0
        try:
            while not file.ended:
                async with asyncio.timeout(SILENCE_SECONDS):
                    part = await content.readany()
                if not part:
                    return False
                await self._turnstile.turn(Rank.FILES, len(part) * SECONDS_A_BYTE)
                missing = file.bytes - file.offset - size
                batch.append(part[:missing])
                size += len(batch[-1])
                if len(part) > missing:
                    return True
                if size >= BATCH_BYTES:
                    full, batch, size = batch, [], 0
                    await self._write(file, full)
            return False
        finally:
            if batch and not file.ended:
                await asyncio.shield(self._write(file, batch))

    async def _write(self, file: File, parts: list[bytes]) -> None:
        try:
            end = await self._disk.write(file.id, file.offset, parts)
        except OSError as error:
            self._failed(file, error)
            raise
        self.received_bytes += end - file.offset
        file.offset = max(file.offset, end)
        file.touched_at = self._clock()

    def _failed(self, file: File, error: OSError) -> None:
        """The upload cannot go on; what it took is free again."""
        self.disk_errors += 1
        logger.error("a file cannot be written", extra={"reason": error.strerror})
        self.drop(file, Result.NO_ROOM if is_full(error) else Result.FAILED, cut=False)

    async def _finish(self, seat: Seat, file: File) -> None:
        """Tells the room, once the disk has all of it; ForbiddenError from who has been sent away meanwhile."""
        try:
            await self._disk.sync(file.id)
        except OSError as error:
            self._failed(file, error)
            raise
        if file.ended:
            raise FileGoneError
        if seat.ended:
            raise ForbiddenError("the seat has ended")
        file.owner, file.owner_name = seat.id, seat.name
        wall = self._wall()
        self.files.finish(file, wall)
        self._journal.file(file)
        seat.room.chat.show_file(seat, file.view(), file.to, wall)

    # --- ends ---

    def drop(self, file: File, result: Result, *, cut: bool = True) -> None:
        """Takes the file or upload away and tells those who knew of it. `cut`: also the request that brings it."""
        if self.files.end(file, result):
            self._discard(file, cut=cut)
            room = self._room(file.room)
            if file.finished and room is not None:
                room.chat.file_gone(file.id, self._wall())
                seats = [seat for seat in room.seats.values() if not file.to or seat.id in (file.owner, file.to)]
                tell(FileGone(file=file.id), seats)

    def _discard(self, file: File, *, cut: bool = True) -> None:
        """Where a request is bringing it, that one's end takes it away: it may be writing now."""
        self._journal.file_gone(file.id)
        receiving = self._receiving.get(file.id)
        if receiving is None:
            self._disk.remove(file.id)
        elif cut:
            receiving.cut()

    def room_ended(self, room: str) -> None:
        """All of its files go."""
        for file in self.files.of_room(room):
            self.drop(file, Result.ROOM_ENDED)

    def handle_timer(self) -> None:
        """Ends what is too old, and uploads that nobody goes on with."""
        for file in self.files.over(self._clock(), self._wall()):
            if file.id not in self._receiving:
                self.drop(file, Result.DROPPED)

    def close(self) -> None:
        """Lets what is being written end."""
        self._disk.close()

    # --- downloads ---

    @contextmanager
    def downloading(self, source: str, *, exempt: bool) -> Iterator[None]:
        """Takes a place; TooManyDownloadsError. `exempt`: `source` itself may have any number."""
        of_source = 0 if exempt else self._downloads[source]
        if self._downloads.total() >= MAX_DOWNLOADS or of_source >= MAX_DOWNLOADS_OF_SOURCE:
            raise TooManyDownloadsError("too many downloads at a time")
        self._downloads[source] += 1
        try:
            yield
        finally:
            self._downloads[source] -= 1
            self._downloads += Counter()  # keeps what is positive

    async def send(self, file: File, start: int, end: int, response: web.StreamResponse) -> None:
        """Writes these bytes of the file; FileGoneError, OSError, TimeoutError, ConnectionError: they are not all."""
        while start < end:
            size = min(self.pace.piece_bytes, end - start)
            wait = self.pace.spend(size, self._clock())
            if wait:
                await asyncio.sleep(wait)
            piece = await self._piece(file, start, size)
            await self._turnstile.turn(Rank.FILES, len(piece) * SECONDS_A_BYTE)
            async with asyncio.timeout(STALL_SECONDS):
                await response.write(piece)
            start += len(piece)
            self.sent_bytes += len(piece)

    async def _piece(self, file: File, start: int, size: int) -> bytes:
        piece = b"" if file.ended else await self._disk.read(file.id, start, size)
        if not piece:
            raise FileGoneError
        return piece

    # --- counts ---

    def measures(self) -> Iterator[Measure]:
        """What is there and what was carried."""
        finished = [file for file in self.files if file.finished]
        yield Measure("files", {}, len(finished))
        yield Measure("files_stored_bytes", {}, sum(file.offset for file in self.files))
        yield Measure("uploads", {}, len(self.files) - len(finished))
        yield Measure("downloads", {}, self._downloads.total())
        for result, count in self.files.results.items():
            yield Measure("uploads_total", {"result": result.value}, count)
        yield Measure("files_bytes_total", {"direction": "in"}, self.received_bytes)
        yield Measure("files_bytes_total", {"direction": "out"}, self.sent_bytes)
        yield Measure("files_errors_total", {}, self.disk_errors)


def is_full(error: OSError) -> bool:
    """Whether the disk has no room left."""
    return error.errno in _FULL
