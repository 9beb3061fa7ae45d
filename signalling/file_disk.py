"""Where files lie: one directory, one file each, named by its id, of mode 0600. All work is done in threads.

Each call opens what it needs and closes it, so nothing is left open where a client goes away in the middle.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

THREADS = 4
# How much of an upload may wait in the system's memory for the disk: the last byte never waits for long.
SYNC_BYTES = 16 * 1024 * 1024

Result = TypeVar("Result")


class FileDisk:
    """Owns the directory, which is made on first writing."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._directory = directory
        self._loop = loop
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="files")

    async def create(self, file_id: str) -> None:
        """A new empty file; OSError."""
        await self._run(lambda: self._create(file_id))

    async def write(self, file_id: str, offset: int, parts: Sequence[bytes]) -> int:
        """Where what comes next belongs; OSError when the disk does not take all of it, or the file has gone."""
        return await self._run(lambda: self._write(file_id, offset, parts))

    async def read(self, file_id: str, offset: int, size: int) -> bytes:
        """At most `size` bytes; OSError."""
        return await self._run(lambda: self._read(file_id, offset, size))

    async def sync(self, file_id: str) -> None:
        """Returns when all of it has reached the disk; OSError."""
        await self._run(lambda: self._sync(file_id))

    async def free_bytes(self) -> int:
        """What the file system has left; OSError."""
        return await self._run(self._free_bytes)

    def remove(self, file_id: str) -> None:
        """Takes the file away, some time later."""
        self._threads.submit(self._remove, file_id)

    def sizes(self) -> dict[str, int]:
        """What is there: blocking, for the start."""
        try:
            with os.scandir(self._directory) as entries:
                return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries if entry.is_file()}
        except FileNotFoundError:
            return {}

    def sweep(self, known: Collection[str]) -> int:
        """Takes away what is none of `known`, and says how many: blocking, for the start."""
        orphans = self.sizes().keys() - set(known)
        for file_id in orphans:
            self._remove(file_id)
        return len(orphans)

    def close(self) -> None:
        """Lets what has begun end."""
        self._threads.shutdown()

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await self._loop.run_in_executor(self._threads, work)

    def _path(self, file_id: str) -> Path:
        return self._directory / file_id

    def _create(self, file_id: str) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path(file_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def _write(self, file_id: str, offset: int, parts: Sequence[bytes]) -> int:
        descriptor = os.open(self._path(file_id), os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            end = offset
            for part in parts:
                end += _write_all(descriptor, part, end)
            if end // SYNC_BYTES != offset // SYNC_BYTES:
                os.fdatasync(descriptor)
            return end
        finally:
            os.close(descriptor)

    def _read(self, file_id: str, offset: int, size: int) -> bytes:
        descriptor = os.open(self._path(file_id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)

    def _sync(self, file_id: str) -> None:
        for path, flags in ((self._path(file_id), os.O_RDONLY), (self._directory, os.O_RDONLY | os.O_DIRECTORY)):
            descriptor = os.open(path, flags | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _free_bytes(self) -> int:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._directory).free

    def _remove(self, file_id: str) -> None:
        self._path(file_id).unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes, offset: int) -> int:
    """All of `data`, or OSError: a full disk takes a part first."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    return len(data)
