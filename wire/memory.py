"""Gives freed memory back to the system: glibc keeps what is free between what is used."""

from __future__ import annotations

import ctypes

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none


def give_back() -> None:
    """Takes some milliseconds for every 100 MB."""
    if _trim is not None:
        _trim(0)
