import io
import json
import logging
from collections.abc import Iterator

import pytest

from turnd import logs

log = logging.getLogger("turnd.test")


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, raising = root.handlers[:], root.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    logging.captureWarnings(capture=False)


def written(format_name: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(format_name, level, stream)
    return stream


def test_text_has_fields_behind_the_message() -> None:
    stream = written("text")
    log.info("allocation %s", "made", extra={"transport": "udp", "seconds": 1.5})
    assert stream.getvalue().endswith("INFO    turnd.test: allocation made transport=udp seconds=1.5\n")


def test_json_is_one_object_a_line() -> None:
    stream = written("json")
    log.warning("allocation made", extra={"transport": "udp", "port": 3478})
    entry = json.loads(stream.getvalue())
    assert entry["message"] == "allocation made"
    assert (entry["level"], entry["logger"], entry["port"]) == ("warning", "turnd.test", 3478)
    assert entry["time"].endswith("Z")


def test_auto_is_json_away_from_a_terminal() -> None:
    stream = written("auto")
    log.info("here")
    assert json.loads(stream.getvalue())["message"] == "here"


@pytest.mark.parametrize("evil", ["a\nERROR forged", "a\r\x1b[2Jb", "a\u202eb", "a\u2028b", "a\x00b", "\ud800"])
@pytest.mark.parametrize("format_name", ["text", "json"])
def test_text_from_outside_cannot_forge_a_line(format_name: str, evil: str) -> None:
    stream = written(format_name)
    log.info("name %s", evil, extra={"name_given": evil})
    output = stream.getvalue()
    assert output.count("\n") == 1
    assert output[:-1].isprintable()


def test_a_traceback_is_indented_and_escaped() -> None:
    stream = written("text")
    try:
        raise ValueError("evil\n12:00:00.000 INFO    forged")
    except ValueError:
        log.exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("failed")
    assert rest
    assert all(line.startswith("    | ") for line in rest)


def test_a_field_cannot_replace_what_the_record_says() -> None:
    stream = written("json")
    log.info("true", extra={"level": "forged", "time": "forged"})
    assert json.loads(stream.getvalue())["level"] == "info"


def test_a_repeated_warning_is_summed_up() -> None:
    repeat = logs.RepeatFilter()

    def record(at: float, level: int = logging.WARNING) -> logging.LogRecord:
        made = logging.LogRecord("turnd", level, "", 0, "again %s", (at,), None)
        made.created = at
        return made

    passed = [repeat.filter(record(1000.0)) for _ in range(logs.MAX_REPEATS + 3)]
    assert passed == [True] * logs.MAX_REPEATS + [False] * 3
    later = record(1000.0 + logs.REPEAT_WINDOW_SECONDS)
    assert repeat.filter(later)
    assert vars(later)["left_out"] == 3
    assert all(repeat.filter(record(1000.0, logging.INFO)) for _ in range(100))


def test_the_level_changes_live() -> None:
    stream = written("text", "warning")
    log.info("unseen")
    logs.set_level("debug")
    log.debug("seen")
    assert "unseen" not in stream.getvalue()
    assert "seen" in stream.getvalue()


def test_requests_are_not_logged_one_by_one() -> None:
    written("text", "debug")
    assert logging.getLogger("aiohttp.access").disabled
