import os
import stat
from pathlib import Path

import pytest

from turnd.state import RESUME_KEY_FILE, SECRET_FILE, StateDirectory, StateError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "a" / "state")
    state.prepare()
    assert mode(state.path) == 0o700


def test_a_directory_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateDirectory(tmp_path).prepare()
    assert mode(tmp_path) == 0o700


def test_the_secret_is_made_once_and_found_again(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path / "state").turn_secret()
    assert len(first) == 64
    assert StateDirectory(tmp_path / "state").turn_secret() == first
    assert mode(tmp_path / "state" / SECRET_FILE) == 0o600


def test_the_resume_key_is_made_once_and_is_another(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    key = state.resume_key()
    assert len(key) == 32
    assert key.hex() != state.turn_secret()
    assert StateDirectory(tmp_path / "state").resume_key() == key
    assert mode(tmp_path / "state" / RESUME_KEY_FILE) == 0o600


def test_two_processes_starting_at_once_agree(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert state.create("file", b"first") == b"first"
    assert state.create("file", b"second") == b"first"


def test_nothing_is_left_beside_the_files(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.create("file", b"1")
    state.create("file", b"2")
    state.replace("file", b"3")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert state.read("file") == b"3"


@pytest.mark.parametrize("content", [b"", b"12ab\n", b"g" * 64, b"a" * 63 + b"\n", b"a" * 65, b"\xff" * 64])
def test_a_damaged_secret_is_reported_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SECRET_FILE).write_bytes(content)
    with pytest.raises(StateError, match=r"turn-secret: damaged .*restore it, or delete it"):
        StateDirectory(tmp_path).turn_secret()
    assert (tmp_path / SECRET_FILE).read_bytes() == content


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be made"):
        StateDirectory(tmp_path / "file" / "state").prepare()


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.replace("file", b"old")
    pid = os.fork()
    if pid == 0:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            state.replace("file", b"x" * 1000)
        except StateError:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert state.read("file") == b"old"
    assert len(list(tmp_path.iterdir())) == 1
