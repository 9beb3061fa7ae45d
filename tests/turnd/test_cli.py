import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from turnd import __version__
from turnd.config import load
from turnd.turn.credentials import stored_keys

REPOSITORY = Path(__file__).resolve().parents[2]


def turnd(folder: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command in `folder`, where its state directory then is."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "turnd", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False, input=given
    )


def test_the_version_is_the_distributions() -> None:
    assert f'version = "{__version__}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_version(tmp_path: Path) -> None:
    done = turnd(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"turnd {__version__}\n")


def test_check_says_what_would_be_served_and_changes_nothing(tmp_path: Path) -> None:
    done = turnd(tmp_path, "check")
    assert done.returncode == 0
    for what in (
        "0.0.0.0:8443",
        "127.0.0.1:8080",
        "3478 (UDP, TCP)",
        "5349 (UDP, TCP)",
        "40000-40100",
        "127.0.0.1:9641",
    ):
        assert what in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_check_names_the_protocols_of_relay_ports(tmp_path: Path) -> None:
    assert "40000-40100 (UDP)" in turnd(tmp_path, "check").stdout
    (tmp_path / "turnd.toml").write_text("[turn]\ntcp_relay = true\n")
    assert "40000-40100 (UDP, TCP)" in turnd(tmp_path, "check", "--config", "turnd.toml").stdout


@pytest.mark.parametrize("command", ["serve", "check", "credentials"])
def test_every_error_of_the_configuration_is_a_line_and_the_code_is_two(tmp_path: Path, command: str) -> None:
    (tmp_path / "turnd.toml").write_text('[turn]\nprot = 1\nport = 0\n[log]\nlevel = "loud"\n')
    done = turnd(tmp_path, command, "--config", "turnd.toml")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3
    assert done.stdout == ""


def test_check_finds_what_keeps_the_daemon_from_starting(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "turn-secret").write_text("half")
    (state / "certificate.pem").write_text("half")
    done = turnd(tmp_path, "check")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "turn-secret: damaged" in done.stderr


def test_credentials_are_one_json_object_of_a_kept_secret(tmp_path: Path) -> None:
    done = turnd(tmp_path, "credentials", "--name", "anna", "--ttl", "60")
    assert done.returncode == 0
    given = json.loads(done.stdout)
    assert set(given) == {"urls", "username", "credential", "realm", "ttl"}
    assert given["username"].endswith(":anna")
    assert (given["realm"], given["ttl"]) == ("turnd", 60)
    assert (tmp_path / "state" / "turn-secret").stat().st_mode & 0o777 == 0o600


def test_credentials_are_for_where_it_listens(tmp_path: Path) -> None:
    (tmp_path / "turnd.toml").write_text('[turn]\nlisten = ["127.0.0.1", "::1"]\n')
    urls = json.loads(turnd(tmp_path, "credentials", "--config", "turnd.toml").stdout)["urls"]
    assert {url.partition(":")[2].partition("?")[0] for url in urls} >= {"127.0.0.1:3478", "[::1]:3478"}
    assert {url.partition(":")[2].rpartition(":")[0] for url in urls} == {"127.0.0.1", "[::1]"}


def test_a_damaged_secret_is_told_plainly(tmp_path: Path) -> None:
    turnd(tmp_path, "credentials")
    (tmp_path / "state" / "turn-secret").write_bytes(b"\0" * 65)
    for command in ("credentials", "serve"):
        done = turnd(tmp_path, command)
        assert done.returncode == 1
        assert "turn-secret: damaged" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("ttl", ["0", "-1", "x", "31622401"])
def test_a_time_to_live_has_bounds(tmp_path: Path, ttl: str) -> None:
    assert turnd(tmp_path, "credentials", "--ttl", ttl).returncode == 2


@pytest.mark.parametrize("name", ["anna", "Anna Ä", 'a"b', "a.b@c", "a\\b", "a=#b", "{a}", "[a]", "O'Neil"])
def test_key_prints_a_line_that_configures_the_user(tmp_path: Path, name: str) -> None:
    (tmp_path / "realm.toml").write_text('[turn]\nrealm = "home"\n')
    done = turnd(tmp_path, "key", name, "--config", "realm.toml", given="her password\nsomething else\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "her password" not in done.stdout
    (tmp_path / "turnd.toml").write_text("[turn.users]\n" + done.stdout)
    assert load(tmp_path / "turnd.toml").turn.users == {name: stored_keys(name, "home", "her password")}


@pytest.mark.parametrize(("name", "password"), [("a:b", "x"), ("", "x"), ("anna", ""), ("anna", "\n")])
def test_key_needs_a_name_and_a_password(tmp_path: Path, name: str, password: str) -> None:
    done = turnd(tmp_path, "key", name, given=password)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_key_asks_on_a_terminal_without_showing_the_password(tmp_path: Path) -> None:
    terminal, other = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "turnd", "key", "anna"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=other,
        start_new_session=True,
    )
    os.close(other)
    shown = b""
    while b"Password" not in shown:
        shown += os.read(terminal, 1000)
    os.write(terminal, b"her password\n")
    output, _ = process.communicate(timeout=30)
    assert stored_keys("anna", "turnd", "her password").md5.hex() in output.decode()
    os.set_blocking(terminal, False)
    with contextlib.suppress(OSError):
        shown += os.read(terminal, 1000)
    assert b"her password" not in shown
    os.close(terminal)
