import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.daemon import REPOSITORY
from tests.e2e.network import Host, Network
from tests.turnd.routers import NAT_PMP_ANSWER, NOBODY, nat_pmp_router, told, upnp_router
from turnd import nat_pmp, router
from turnd.outside_address import RouterError
from turnd.router import RouterPorts, ask_router


async def ask(nat_pmp_port: int = NOBODY, ssdp_port: int = NOBODY) -> str:
    return await ask_router(asyncio.get_running_loop(), "127.0.0.1", RouterPorts(nat_pmp_port, ssdp_port))


async def test_the_router_is_asked_again_until_it_answers() -> None:
    async with nat_pmp_router(NAT_PMP_ANSWER, ignored=1) as (made, port):
        assert await ask(nat_pmp_port=port) == "203.0.113.7"
        assert made.questions == [nat_pmp.REQUEST] * 2


async def test_a_router_without_nat_pmp_is_asked_by_upnp() -> None:
    async with upnp_router(told("203.0.113.9")) as (made, port):
        assert await ask(ssdp_port=port) == "203.0.113.9"
    action = "#GetExternalIPAddress"
    kinds = "WANPPPConnection:1", "WANIPConnection:1"
    assert made.actions == [f'"urn:schemas-upnp-org:service:{kind}{action}"' for kind in kinds]


def open_files() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_search_that_is_given_up_at_any_step_leaves_no_socket(steps: int) -> None:
    loop = asyncio.get_running_loop()
    before = open_files()
    task = loop.create_task(router._search(loop, "127.0.0.1", NOBODY))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(5):
        while open_files() - before:  # noqa: ASYNC110 - a closed socket wakes nobody
            await asyncio.sleep(0)


async def test_an_answer_that_leads_to_another_machine_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "SEARCH_SECONDS", (0.2,))
    async with upnp_router(told("203.0.113.9")) as (made, port):
        made.location = made.location.replace("127.0.0.1", "127.0.0.2")
        with pytest.raises(RouterError, match="no answer by UPnP"):
            await ask(ssdp_port=port)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (told("192.168.7.1"), "behind another NAT"),
        (told(""), "no outside address"),
        ("<a>", "not XML"),
        ("x" * (65 << 10), "too long"),
    ],
)
async def test_when_nothing_is_learned_both_reasons_are_told(answer: str, reason: str) -> None:
    async with upnp_router(answer) as (_, port), nat_pmp_router(bytes([0, 128, 0, 3, 0, 0, 0, 1])) as (_, nat_pmp_port):
        with pytest.raises(RouterError, match=reason) as raised:
            await ask(nat_pmp_port, port)
    assert "no outside address now" in str(raised.value)


ASK = """
import asyncio
from turnd.addresses import local_addresses
from turnd.router import ask_router

async def main():
    print(await ask_router(asyncio.get_running_loop(), local_addresses().gateway))

asyncio.run(main())
"""


def asked(home: Host) -> str:
    """What a program in the namespace is told by its default gateway; the error otherwise."""
    done = subprocess.run(
        home.command(sys.executable, "-c", ASK),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.netns
@pytest.mark.parametrize("protocol", ["natpmp", "upnp"])
async def test_a_real_router_tells_its_outside_address(tmp_path: Path, protocol: str) -> None:
    """miniupnpd, which many home routers have, in a network namespace."""
    configuration = tmp_path / "miniupnpd.conf"
    enabled = "".join(f"enable_{name}={'yes' if name == protocol else 'no'}\n" for name in ("natpmp", "upnp"))
    identity = "uuid=00000000-0000-0000-0000-000000000001\n"
    configuration.write_text(f"ext_ifname=wan0\nlistening_ip=lan0\n{enabled}{identity}")
    network = Network()
    try:
        box, home = network.host("box"), network.host("home")
        box.ip("link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", home.name)
        box.ip("link", "add", "wan0", "type", "veth")
        for host, name, address in (
            (box, "lan0", "192.168.1.1"),
            (box, "wan0", "9.9.9.5"),
            (home, "eth0", "192.168.1.10"),
        ):
            host.ip("addr", "add", f"{address}/24", "dev", name)
            host.ip("link", "set", name, "up")
        home.ip("route", "add", "default", "via", "192.168.1.1")
        silent = asyncio.subprocess.DEVNULL
        command = box.command("miniupnpd", "-d", "-f", str(configuration), "-P", str(tmp_path / "pid"))
        process = await asyncio.create_subprocess_exec(*command, stdout=silent, stderr=silent)
        try:
            async with asyncio.timeout(30):
                while "9.9.9.5" not in (answer := await asyncio.to_thread(asked, home)):
                    assert "RouterError" in answer  # it is starting
            box.ip("addr", "delete", "9.9.9.5/24", "dev", "wan0")
            box.ip("addr", "add", "9.9.9.77/24", "dev", "wan0")
            assert await asyncio.to_thread(asked, home) == "9.9.9.77"
            box.ip("addr", "delete", "9.9.9.77/24", "dev", "wan0")
            assert "RouterError" in await asyncio.to_thread(asked, home)
        finally:
            process.terminate()
            await process.wait()
    finally:
        network.close()
