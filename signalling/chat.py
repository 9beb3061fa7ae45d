"""What is written in a room, to all or to one participant alone; the last of it is kept for who comes later.

Belongs to its room. A private line is told to its two and to nobody else, whenever they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from heapq import merge
from typing import NamedTuple

from signalling.access import new_id
from signalling.records import Journal
from signalling.seat import ForbiddenError, Seat, UnknownError, tell
from signalling.server_messages import ChatLine, FileView, Role, Written, written

# What one who joins is told at most.
MAX_CHAT_LINES = 200
MAX_CHAT_BYTES = 256 * 1024
# Private lines of a room, kept apart so that two who talk much push nothing out that all have written.
MAX_PRIVATE_LINES = 500
MAX_PRIVATE_BYTES = 256 * 1024


class _Kept(NamedTuple):
    number: int
    line: ChatLine
    text: str
    size: int


class _Lines:
    """The newest lines within two bounds, oldest first."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self.kept: deque[_Kept] = deque()

    def add(self, kept: _Kept) -> list[_Kept]:
        """Those that have to go for it."""
        self.kept.append(kept)
        self._bytes += kept.size
        gone = []
        while len(self.kept) > self._most or self._bytes > self._most_bytes:
            gone.append(self.kept.popleft())
            self._bytes -= gone[-1].size
        return gone

    def change(self, index: int, line: ChatLine) -> None:
        before = self.kept[index]
        self.kept[index] = after = _kept(before.number, line)
        self._bytes += after.size - before.size


def _kept(number: int, line: ChatLine) -> _Kept:
    text = written(line).text
    return _Kept(number, line, text, len(text.encode()))


def _list_of(lines: list[_Kept]) -> Written:
    return Written(f"[{','.join(each.text for each in lines)}]")


class Chat:
    """Lines, each heard by all of `seats` or by two of them."""

    def __init__(self, seats: Mapping[str, Seat], journal: Journal) -> None:
        self._seats = seats
        self._journal = journal
        self._public = _Lines(MAX_CHAT_LINES, MAX_CHAT_BYTES)
        self._private = _Lines(MAX_PRIVATE_LINES, MAX_PRIVATE_BYTES)
        self._written = 0
        self._public_text: Written | None = None

    # --- who comes ---

    def shown_to(self, participant_id: str) -> Written:
        """The last lines for them, oldest first; what all may read is written once until the next line."""
        own = [each for each in self._private.kept if participant_id in (each.line.participant, each.line.to)]
        if own:
            return _list_of(_newest(list(merge(self._public.kept, own, key=lambda each: each.number))))
        if self._public_text is None:
            self._public_text = _list_of(list(self._public.kept))
        return self._public_text

    # --- who writes ---

    def say(self, seat: Seat, text: str, to: str, wall: float, request: str | None) -> None:
        """Adds a line and tells it, to the writer with its `request`; UnknownError, ForbiddenError."""
        if to:
            self.check_receiver(seat, to)
        self._tell(seat, self._line(seat, text, to, None, wall), request)

    def show_file(self, seat: Seat, file: FileView, to: str, wall: float) -> None:
        """Tells of a file, to the one it is for if there is one; they may have left."""
        self._tell(seat, self._line(seat, "", to, file, wall), None)

    def check_receiver(self, seat: Seat, to: str) -> None:
        """UnknownError when nobody by that id is here, ForbiddenError when `seat` may not write to them alone."""
        receiver = self._seats.get(to)
        if receiver is None:
            raise UnknownError("there is no such participant")
        if receiver.silent:
            raise ForbiddenError("this participant does not read")
        if seat.role is Role.VIEWER and receiver.role is Role.VIEWER:
            raise ForbiddenError("viewers write to all, or to somebody on the stage")

    def file_gone(self, file_id: str, wall: float) -> None:
        """Whoever comes later sees that the file, if it is still spoken of, can no longer be had."""
        for lines in (self._public, self._private):
            for index, kept in enumerate(lines.kept):
                file = kept.line.file
                if file is not None and file.id == file_id:
                    changed = replace(kept.line, file=replace(file, expires=round(wall, 3)))
                    lines.change(index, changed)
                    self._journal.line(changed)
                    self._public_text = None
                    return

    def _line(self, seat: Seat, text: str, to: str, file: FileView | None, wall: float) -> ChatLine:
        return line_of(seat.id, seat.name, text, to, file, wall)

    def lines(self) -> list[ChatLine]:
        """All that is kept, oldest first."""
        return [each.line for each in merge(self._public.kept, self._private.kept, key=lambda each: each.number)]

    def restore(self, lines: Iterable[ChatLine]) -> None:
        """Puts in front what was kept before, oldest first; nobody is told."""
        for line in lines:
            self._keep(line)

    def _tell(self, writer: Seat, line: ChatLine, request: str | None) -> None:
        self._journal.line(line)
        self._keep(line)
        if line.to is None:
            others = [seat for seat in self._seats.values() if seat is not writer]
        else:
            others = [seat for seat in (self._seats.get(line.to),) if seat is not None and seat is not writer]
        tell(line, others)
        writer.send(replace(line, request=request))

    def _keep(self, line: ChatLine) -> None:
        self._written += 1
        if line.to is None:
            self._public_text = None
        lines = self._public if line.to is None else self._private
        for gone in lines.add(_kept(self._written, line)):
            self._journal.line_gone(gone.line.id)


def line_of(writer: str, name: str, text: str, to: str, file: FileView | None, wall: float) -> ChatLine:
    """A new line of the participant `writer`, who is called `name`."""
    return ChatLine(
        id=new_id(), participant=writer, name=name, text=text, time=round(wall, 3), to=to or None, file=file
    )


def _newest(lines: list[_Kept]) -> list[_Kept]:
    """As many of the last lines as one who joins is told."""
    left_bytes = MAX_CHAT_BYTES
    first = len(lines)
    while first > max(0, len(lines) - MAX_CHAT_LINES) and left_bytes >= lines[first - 1].size:
        first -= 1
        left_bytes -= lines[first].size
    return lines[first:]
