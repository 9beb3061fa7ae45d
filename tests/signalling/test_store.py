from __future__ import annotations

import logging
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from signalling.store import ASIDE, MAX_WAITING, SCHEMA_VERSION, Store

VOTE = "INSERT INTO votes VALUES ('r', 'q', ?)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "rooms.sqlite3"


@pytest.fixture
def open_store(path: Path) -> Iterator[Callable[[], Store]]:
    stores: list[Store] = []

    def open_one() -> Store:
        stores.append(Store(path))
        stores[-1].start()
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def settled(store: Store) -> None:
    """All that was put is written, or lost."""
    written = threading.Event()
    store.then(written.set)
    assert written.wait(10)


def votes(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT voter FROM votes ORDER BY voter").fetchall()
    connection.close()
    return [row[0] for row in rows]


def test_what_is_put_is_there_for_the_next_process(open_store: Callable[[], Store], path: Path) -> None:
    store = open_store()
    for voter in "abc":
        store.put(VOTE, voter)
    store.put("DELETE FROM votes WHERE voter = ?", "b")
    store.close()
    assert votes(path) == ["a", "c"]
    assert [row[2] for row in open_store().rows("SELECT * FROM votes")] == ["a", "c"]


@pytest.mark.parametrize("text", ["'); DROP TABLE votes; --", 'a" OR "1"="1', "?", "\\", "%", "\u2028é\U0001f600"])
def test_what_people_write_is_never_a_statement(open_store: Callable[[], Store], path: Path, text: str) -> None:
    store = open_store()
    store.put(VOTE, text)
    store.put("DELETE FROM votes WHERE voter = ?", "x' OR 'x'='x")
    settled(store)
    assert votes(path) == [text]


def test_what_is_put_is_written_while_it_runs(open_store: Callable[[], Store], path: Path) -> None:
    store = open_store()
    store.put(VOTE, "a")
    settled(store)
    assert votes(path) == ["a"]


def test_all_of_it_is_for_its_owner_alone(open_store: Callable[[], Store], path: Path) -> None:
    path.parent.mkdir()
    path.touch(0o644)
    store = open_store()
    store.put(VOTE, "a")
    settled(store)
    files = list(path.parent.iterdir())
    assert len(files) == 3  # with the journal and its index
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_it_is_written_through_to_the_disk(open_store: Callable[[], Store], path: Path) -> None:
    connection = open_store()._connect(path)
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("auto_vacuum", 1)):
        assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    connection.close()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 8000])
def test_what_is_no_database_is_moved_aside(
    open_store: Callable[[], Store], path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = open_store()
    store.put(VOTE, "a")
    store.close()
    assert votes(path) == ["a"]
    assert path.with_name(path.name + ASIDE).read_bytes() == content
    assert [record.message for record in caplog.records] == ["the database is damaged and was moved aside"]


def test_a_damaged_page_is_noticed(
    open_store: Callable[[], Store], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    for number in range(5000):
        store.put(VOTE, f"{number:040}")
    store.close()
    with path.open("r+b") as file:
        file.seek(40_000)
        file.write(b"\x55" * 20_000)
    assert open_store().rows("SELECT * FROM votes") == []
    assert "moved aside" in caplog.text


def test_a_newer_or_foreign_database_is_moved_aside(
    open_store: Callable[[], Store], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_store().close()
    for statement in (f"PRAGMA user_version = {SCHEMA_VERSION + 1}", "PRAGMA user_version = 0"):
        connection = sqlite3.connect(path)
        connection.execute(statement)
        connection.close()
        caplog.clear()
        open_store().close()
        assert "moved aside" in caplog.text
        assert votes(path) == []


def test_without_a_usable_place_the_server_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "rooms.sqlite3").mkdir()
    store = Store(tmp_path / "rooms.sqlite3")
    store.start()
    store.put(VOTE, "a")
    assert store.rows("SELECT * FROM votes") == []
    store.close()
    assert store.errors == 1
    assert "cannot be used" in caplog.text


def test_a_store_without_a_place_keeps_nothing() -> None:
    store = Store(None)
    store.start()
    store.put(VOTE, "a")
    settled(store)
    assert store.rows("SELECT * FROM votes") == []
    store.close()


def test_a_change_that_fails_is_counted_and_logged_once(
    open_store: Callable[[], Store], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    for _ in range(3):
        store.put("INSERT INTO nowhere VALUES (1)")
        settled(store)
    store.put(VOTE, "a")
    store.close()
    assert (store.errors, votes(path)) == (3, ["a"])
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_full_disk_costs_what_was_to_be_written_and_nothing_else(
    open_store: Callable[[], Store], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store()
    store.put(VOTE, "a")
    settled(store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        store.put(VOTE, "b" * 1_000_000)
        settled(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert store.errors == 1
    assert "does not take changes" in caplog.text
    store.put(VOTE, "c")
    store.close()
    assert votes(path) == ["a", "c"]


def test_what_may_wait_is_bounded(open_store: Callable[[], Store], path: Path) -> None:
    store = open_store()
    entered, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        go_on.wait(10)

    store.then(hold)
    assert entered.wait(10)
    for number in range(MAX_WAITING + 1):
        store.put(VOTE, str(number))
    [waiting, errors] = [measure.value for measure in store.measures()]
    assert (waiting, errors) == (MAX_WAITING, 1)
    go_on.set()
    store.close()
    assert len(votes(path)) == MAX_WAITING
