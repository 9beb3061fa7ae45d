"""How much of files is taken and kept: what can be configured. No state."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How much is taken and kept."""

    max_bytes: int = 2 * GIB
    """Of one file; 0: no files at all."""
    room_bytes: int = 4 * GIB
    """Of all files of a room, uploads under way with the whole of their size."""
    total_bytes: int = 16 * GIB
    """The same of all rooms."""
    keep_seconds: float = 24 * 3600.0
    """How long a file is kept while its room lives."""
    uploads_of_seat: int = 5
    """Uploads under way at a time."""
