import os
import socket
from pathlib import Path

from turnd.service_notify import ServiceNotifier


def test_the_manager_hears_every_step(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        notifier = ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        notifier.ready()
        notifier.reloading()
        notifier.alive()
        notifier.stopping()
        messages = [manager.recv(200) for _ in range(4)]
    assert messages[0] == b"READY=1"
    assert messages[1].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert messages[2:] == [b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    ServiceNotifier({}).ready()
    ServiceNotifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()


def test_the_watchdog_is_for_the_process_it_names() -> None:
    assert ServiceNotifier({"WATCHDOG_USEC": "30000000"}).watchdog_seconds == 30
    assert ServiceNotifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}).watchdog_seconds == 30
    assert ServiceNotifier({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}).watchdog_seconds == 0
