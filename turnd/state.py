"""The state directory: what turnd generates at first start and must find again.

Every file appears whole or not at all, also when the power fails: it is written beside its place, flushed to the disk
and only then linked in. The directory has mode 0700, the files 0600.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

SECRET_FILE = "turn-secret"  # noqa: S105 - a file name
RESUME_KEY_FILE = "resume-key"
SECRET_BYTES = 32
MAX_STATE_FILE_BYTES = 1 << 20


class StateError(Exception):
    """The state directory or a file in it cannot be used; the text says which, why and what helps."""


class StateDirectory:
    """Owns the files below `path`. Made on first writing; reading from one that does not exist finds nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Makes the directory, or takes other users' rights from it. StateError when that is not possible."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as error:
            raise StateError(f"state_dir = {self.path}: cannot be made or secured: {error.strerror}") from None
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise StateError(f"state_dir = {self.path}: this user may not write there")

    def read(self, name: str) -> bytes | None:
        """The content of the file `name`, None when there is none."""
        path = self.path / name
        try:
            with path.open("rb") as file:
                data = file.read(MAX_STATE_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path}: cannot be read: {error.strerror}") from None
        if len(data) > MAX_STATE_FILE_BYTES:
            raise self.damaged(name, "larger than any file turnd writes")
        return data

    def create(self, name: str, data: bytes) -> bytes:
        """Writes the new file `name` unless another process was faster; returns what the file then holds."""
        temporary = self._write_aside(name, data)
        try:
            os.link(temporary, self.path / name)
        except FileExistsError:
            return self.read(name) or b""
        except OSError as error:
            raise StateError(f"{self.path / name}: cannot be written: {error.strerror}") from None
        finally:
            temporary.unlink(missing_ok=True)
        self._sync_directory()
        return data

    def replace(self, name: str, data: bytes) -> None:
        """Puts `data` in place of whatever the file `name` held."""
        temporary = self._write_aside(name, data)
        try:
            temporary.replace(self.path / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(f"{self.path / name}: cannot be written: {error.strerror}") from None
        self._sync_directory()

    def turn_secret(self) -> str:
        """The generated TURN REST secret, made now if there is none. StateError when its file is damaged."""
        return self._secret(SECRET_FILE)

    def resume_key(self) -> bytes:
        """What signs resume tokens, made now if there is none. StateError when its file is damaged."""
        return bytes.fromhex(self._secret(RESUME_KEY_FILE))

    def _secret(self, name: str) -> str:
        data = self.read(name)
        if data is None:
            self.prepare()
            data = self.create(name, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        digits = data.removesuffix(b"\n")
        if len(digits) != 2 * SECRET_BYTES or digits.strip(b"0123456789abcdef"):
            raise self.damaged(name, f"expected {2 * SECRET_BYTES} hexadecimal digits")
        return digits.decode()

    def damaged(self, name: str, why: str) -> StateError:
        """The error to raise for a file whose content makes no sense."""
        return StateError(f"{self.path / name}: damaged ({why}); restore it, or delete it and turnd makes a new one")

    def _write_aside(self, name: str, data: bytes) -> Path:
        temporary = self.path / f".{name}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StateError(f"{self.path / name}: cannot be written: {error.strerror}") from None
        return temporary

    def _sync_directory(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
