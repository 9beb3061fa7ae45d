"""Rooms and files as rows of the database: how each change is written, and how all of them are read at the start."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from signalling.charter import Record
from signalling.files import File
from signalling.questions import Question
from signalling.server_messages import ChatLine, FileView, written
from signalling.store import FORGET_ROOM, Store

logger = logging.getLogger(__name__)

Thing = TypeVar("Thing")

_TABLES_OF_ROOM: Final = ("lines", "questions", "votes")


@dataclass(slots=True)
class StoredRoom:
    """A room that nobody is in."""

    id: str
    name: str
    record: Record
    ended_at: float | None
    """Wall time at which the last one left; None: somebody was there when the process ended."""
    lines: list[ChatLine] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)


class RoomJournal:
    """`signalling.records.Journal` in the database."""

    def __init__(self, store: Store, room_id: str) -> None:
        self._store = store
        self._room = room_id

    def line(self, line: ChatLine) -> None:
        """See Journal."""
        self._store.put(
            "INSERT INTO lines (room, id, line) VALUES (?, ?, ?) "
            "ON CONFLICT (room, id) DO UPDATE SET line = excluded.line",
            *(self._room, line.id, written(line).text),
        )

    def line_gone(self, line_id: str) -> None:
        """See Journal."""
        self._store.put("DELETE FROM lines WHERE room = ? AND id = ?", self._room, line_id)

    def question(self, question: Question) -> None:
        """See Journal."""
        self._store.put(
            "INSERT INTO questions (room, id, asker, name, text, time, answered) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (room, id) DO UPDATE SET answered = excluded.answered",
            *(self._room, question.id, question.asker, question.name, question.text, question.time, question.answered),
        )

    def question_gone(self, question_id: str) -> None:
        """See Journal."""
        self._store.put("DELETE FROM questions WHERE room = ? AND id = ?", self._room, question_id)
        self._store.put("DELETE FROM votes WHERE room = ? AND question = ?", self._room, question_id)

    def vote(self, question_id: str, voter: str, on: bool) -> None:
        """See Journal."""
        if on:
            self._store.put("INSERT OR IGNORE INTO votes VALUES (?, ?, ?)", self._room, question_id, voter)
        else:
            self._store.put(
                "DELETE FROM votes WHERE room = ? AND question = ? AND voter = ?", self._room, question_id, voter
            )


class FileJournal:
    """Where files and uploads are stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def file(self, file: File) -> None:
        """It is new, or finished."""
        self._store.put(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(file.id, file.room, file.owner, file.owner_name, file.name, file.bytes, file.to, file.expires),
            file.finished,
        )

    def file_gone(self, file_id: str) -> None:
        """It can no longer be had."""
        self._store.put("DELETE FROM files WHERE id = ?", file_id)


def keep_room(store: Store, room_id: str, name: str, record: Record) -> None:
    """Somebody is in it, and it is as `record` says. Another of that name is forgotten."""
    store.put("DELETE FROM rooms WHERE name = ? AND id <> ?", name, room_id)
    store.put(
        "INSERT INTO rooms (id, name, record) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET record = excluded.record, ended_at = NULL",
        *(room_id, name, json.dumps(record, separators=(",", ":"))),
    )


def mark_ended(store: Store, room_id: str, wall: float) -> None:
    """Nobody is in it any more, and it is kept for a while."""
    store.put("UPDATE rooms SET ended_at = ? WHERE id = ?", wall, room_id)


def forget_room(store: Store, room_id: str) -> None:
    """With all that was said in it."""
    for table in _TABLES_OF_ROOM:
        store.put(f"DELETE FROM {table} WHERE room = ?", room_id)  # noqa: S608 - a word of ours
    store.put(FORGET_ROOM, room_id)


def stored_rooms(store: Store) -> list[StoredRoom]:
    """All of them, at the start; what cannot be read is left out, and what is of no room is forgotten."""
    for table in _TABLES_OF_ROOM:
        store.put(f"DELETE FROM {table} WHERE room NOT IN (SELECT id FROM rooms)")  # noqa: S608 - a word of ours
    rooms = _read(store, "SELECT id, name, record, ended_at FROM rooms", _room)
    lines, questions = defaultdict(list), defaultdict(list)
    votes = defaultdict(set)
    for room, question, voter in store.rows("SELECT room, question, voter FROM votes"):
        votes[room, question].add(voter)
    for room, line in _read(store, "SELECT room, line FROM lines ORDER BY number", _line):
        lines[room].append(line)
    for row in store.rows("SELECT room, id, asker, name, text, time, answered FROM questions ORDER BY number"):
        question = Question(*row[1:6])
        question.answered = bool(row[6])
        question.voters = votes[row[0], question.id]
        questions[row[0]].append(question)
    for each in rooms:
        each.lines, each.questions = lines[each.id], questions[each.id]
    return rooms


def stored_files(store: Store, now: float) -> list[File]:
    """All files and uploads, at the start; the disk says how far the latter are."""

    def file(
        file_id: str, room: str, owner: str, owner_name: str, name: str, size: int, to: str, expires: float, done: int
    ) -> File:
        found = File(room, owner, owner_name, name, size, to, expires=expires, now=now, file_id=file_id)
        found.finished = bool(done)
        return found

    return _read(store, "SELECT * FROM files", file)


def _read(store: Store, query: str, make: Callable[..., Thing]) -> list[Thing]:
    things = []
    for row in store.rows(query):
        try:
            things.append(make(*row))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            store.errors += 1
            logger.warning("a row of the database cannot be read: %s", error)
    return things


def _room(room_id: str, name: str, record: str, ended_at: float | None) -> StoredRoom:
    return StoredRoom(room_id, name, json.loads(record), ended_at)


def _line(room: str, text: str) -> tuple[str, ChatLine]:
    values: dict[str, Any] = json.loads(text)
    file = values.pop("file", None)
    return room, ChatLine(**values, file=FileView(**file) if file is not None else None)
