"""The database of what outlives the process: SQLite in one file, which one thread alone writes.

Nobody waits for the disk: changes are queued, and written many at a time, each time all or none of them. What cannot be
written is lost, counted and logged; a database that cannot be read is moved aside, and another one begun. Mode 0600.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from wire.measure import Measure

logger = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
MAX_WAITING = 50_000
MAX_BATCH = 1000
LOG_SECONDS = 60.0
BUSY_SECONDS = 5.0
ASIDE: Final = ".damaged"

# FULL: what was written is there after a power cut too. What is deleted is overwritten, and gives its place back.
_PRAGMAS: Final = (
    "PRAGMA auto_vacuum = FULL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
)
_TRUNCATE: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
# After this nothing of the room is left in the file or beside it.
FORGET_ROOM: Final = "DELETE FROM rooms WHERE id = ?"
_SCHEMA: Final = (
    # `record` is JSON of `Charter.record`; `ended_at` is null while somebody is there.
    "CREATE TABLE rooms (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, record TEXT NOT NULL, ended_at REAL)",
    "CREATE TABLE lines (number INTEGER PRIMARY KEY, room TEXT NOT NULL, id TEXT NOT NULL, line TEXT NOT NULL)",
    "CREATE UNIQUE INDEX line_of_room ON lines (room, id)",
    "CREATE TABLE questions (number INTEGER PRIMARY KEY, room TEXT NOT NULL, id TEXT NOT NULL, asker TEXT NOT NULL, "
    "name TEXT NOT NULL, text TEXT NOT NULL, time REAL NOT NULL, answered INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX question_of_room ON questions (room, id)",
    "CREATE TABLE votes (room TEXT NOT NULL, question TEXT NOT NULL, voter TEXT NOT NULL, "
    "PRIMARY KEY (room, question, voter)) WITHOUT ROWID",
    # By the room's name, which is in their URLs; `receiver` is empty for all.
    "CREATE TABLE files (id TEXT PRIMARY KEY, room TEXT NOT NULL, owner TEXT NOT NULL, owner_name TEXT NOT NULL, "
    "name TEXT NOT NULL, bytes INTEGER NOT NULL, receiver TEXT NOT NULL, expires REAL NOT NULL, "
    "finished INTEGER NOT NULL)",
)

Change = tuple[str, tuple[Any, ...]]


class DamagedError(Exception):
    """What is in the file is no database of ours."""


class Store:
    """Owns the file at `path`; None: nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._queue: SimpleQueue[Change | Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self.errors = 0
        self._logged_at = -LOG_SECONDS

    # --- life ---

    def start(self) -> None:
        """Opens or makes the database, and begins to write; blocks. Never fails: without one nothing is kept."""
        if self._path is None:
            return
        try:
            self._prepare(self._path)
        except DamagedError as error:
            aside = self._move_aside(self._path)
            logger.error("the database is damaged and was moved aside", extra={"file": aside, "reason": error})
            try:
                self._prepare(self._path)
            except (DamagedError, sqlite3.Error, OSError) as again:
                self._unusable(again)
                return
        except (sqlite3.Error, OSError) as error:
            self._unusable(error)
            return
        self._thread = threading.Thread(target=self._write_all, args=(self._path,), name="store", daemon=True)
        self._thread.start()

    def _unusable(self, error: Exception) -> None:
        self.errors += 1
        logger.error("the database cannot be used, rooms do not outlive a restart", extra={"reason": error})

    def close(self) -> None:
        """Writes what waits, then ends; blocks."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a SELECT finds; blocks, for the start. Nothing when there is no database."""
        if self._path is None or self._thread is None:
            return []
        try:
            connection = self._connect(self._path)
            try:
                return connection.execute(query).fetchall()
            finally:
                connection.close()
        except sqlite3.Error as error:
            self._failed(error, 1)
            return []

    # --- writing ---

    def put(self, statement: str, *values: object) -> None:
        """Changes something, a little later, in the order of the calls."""
        if self._thread is None:
            return
        if self._queue.qsize() >= MAX_WAITING:
            self._failed(RuntimeError("the disk does not keep up"), 1)
            return
        self._queue.put((statement, values))

    def then(self, action: Callable[[], None]) -> None:
        """Calls it, in the thread, when all that was put before is on the disk, or lost."""
        if self._thread is None:
            action()
        else:
            self._queue.put(action)

    def _write_all(self, path: Path) -> None:
        connection = self._connect(path)
        try:
            while True:
                batch: list[Change] = []
                item = self._queue.get()
                while isinstance(item, tuple):
                    batch.append(item)
                    if len(batch) >= MAX_BATCH or self._queue.empty():
                        break
                    item = self._queue.get()
                if batch:
                    self._write(connection, batch)
                if item is None:
                    return
                if not isinstance(item, tuple):
                    item()
        finally:
            connection.close()

    def _write(self, connection: sqlite3.Connection, batch: list[Change]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for statement, values in batch:
                connection.execute(statement, values)
            connection.execute("COMMIT")
            if any(statement is FORGET_ROOM for statement, _ in batch):
                connection.execute(_TRUNCATE)
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._failed(error, len(batch))

    def _failed(self, error: Exception, changes: int) -> None:
        self.errors += changes
        now = time.monotonic()
        if now >= self._logged_at + LOG_SECONDS:
            self._logged_at = now
            logger.error("the database does not take changes", extra={"reason": error, "changes": changes})

    # --- the file ---

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    def _prepare(self, path: Path) -> None:
        """DamagedError when what is there is no database of ours, sqlite3.Error or OSError when it cannot be used."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its journal the mode of the database.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
        connection = None
        try:
            connection = self._connect(path)
            self._check(connection)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise DamagedError(str(error)) from None
        finally:
            if connection is not None:
                connection.close()

    def _check(self, connection: sqlite3.Connection) -> None:
        [(version,)] = connection.execute("PRAGMA user_version").fetchall()
        if version not in (0, SCHEMA_VERSION):
            raise DamagedError(f"of version {version}")
        problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if problems != ["ok"]:
            raise DamagedError(problems[0])
        if version == 0:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
                raise DamagedError("of another program")
            connection.execute("BEGIN IMMEDIATE")
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")

    def _move_aside(self, path: Path) -> Path:
        """Over the one before, if there was one."""
        aside = path.with_name(path.name + ASIDE)
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            with suppress(FileNotFoundError):
                part.replace(path.with_name(aside.name + suffix))
        return aside

    # --- counts ---

    def measures(self) -> Iterator[Measure]:
        """What waits and what was lost."""
        yield Measure("database_writes_waiting", {}, self._queue.qsize())
        yield Measure("database_errors_total", {}, self.errors)
