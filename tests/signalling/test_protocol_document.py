"""PROTOCOL.md names what the server takes and says, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from signalling.client_messages import ErrorCode
from signalling.message_reader import CLIENT_TYPES
from signalling.server_messages import SERVER_TYPES
from signalling.session import _SCOPES, RATES

DOCUMENT = (Path(__file__).parents[2] / "PROTOCOL.md").read_text()


def rows(heading: str, columns: str) -> Iterator[list[str]]:
    """The cells of the table with those columns in that section."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = section.split(f"| {columns} |\n")[1].split("\n\n")[0]
    for line in table.splitlines()[1:]:
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([a-z-]+)`", cell)


def test_client_messages() -> None:
    told = [name for cells in rows("Client to server", "type | fields | meaning") for name in names(cells[0])]
    assert sorted(told) == sorted(CLIENT_TYPES)


def test_server_messages() -> None:
    told = [name for cells in rows("Server to client", "type | fields") for name in names(cells[0])]
    assert sorted(told) == sorted({"joined", *SERVER_TYPES})


def test_error_codes() -> None:
    told = [name for cells in rows("Errors", "code | meaning") for name in names(cells[0])]
    assert sorted(told) == sorted(get_args(ErrorCode))


def test_rates() -> None:
    """Each message has a rate of its own or with others, but those that join, leave and show life."""
    told = {}
    for kind, burst, rate in rows("Errors", "messages | burst | a second"):
        told |= dict.fromkeys(names(kind) or ["message"], (float(burst), float(rate)))
    assert told.pop("message") == RATES["message"]
    assert told == {kind: RATES[scope] for kind, scope in _SCOPES.items()}
    assert set(CLIENT_TYPES) - set(told) == {"join", "leave", "ping", "pong"}
