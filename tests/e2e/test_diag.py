"""`/diag` in a browser with the real daemon: where all is well, where UDP is blocked, and where devices are refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.axe import nothing_serious
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, PersonFactory
from tests.e2e.daemon import Daemon, total
from tests.e2e.network import Host, Switch
from tests.e2e.page import PHONE, both_themes, picture

pytestmark = [pytest.mark.browser, pytest.mark.netns]

DIAG = f"https://{DAEMON_ADDRESS}:8443/diag"
NO_UDP = """
table inet wall {
  chain output {
    type filter hook output priority filter;
    meta l4proto udp drop
  }
}
"""
FOUND = """() => ({
  sentence: document.querySelector('[data-field="sentence"]').textContent,
  verdict: document.querySelector('[data-verdict]').dataset.verdict,
  outcomes: Object.fromEntries([...document.querySelectorAll('[data-check]')].map((row) =>
    [row.dataset.check, row.dataset.outcome])),
  details: Object.fromEntries([...document.querySelectorAll('[data-check]')].map((row) =>
    [row.dataset.check, row.querySelector('.diag-details').textContent])),
})"""


async def outcome_of(person: Person, action: str) -> dict[str, Any]:
    """Presses the button of a test and awaits its end."""
    await person.browser.click(f'[data-action="{action}"]')

    async def over() -> dict[str, Any] | None:
        found: dict[str, Any] = await person.browser.evaluate(FOUND)
        return found if found["verdict"] and "running" not in found["outcomes"].values() else None

    found: dict[str, Any] = await until(f"{action} is over", over, 60)
    return found


LINE = ("websocket", "call", "stun", "turn-udp", "turn-tcp", "turn-tls", "download", "upload")


@pytest.fixture
def both_families(switch: Switch, lan: dict[str, Host]) -> None:
    """IPv6 beside IPv4 on the LAN, before anybody starts."""
    for number, host in enumerate((lan["daemon"], lan["a"]), 1):
        host.ip("address", "add", f"fd77::{number}/64", "dev", switch.interfaces[host], "nodad")


async def test_where_all_is_well_it_says_so(
    lan: dict[str, Host], both_families: None, daemon: Daemon, person: PersonFactory
) -> None:
    ada = await person("Ada", Chromium, lan["a"], permissions=["clipboard-read", "clipboard-write"])
    await ada.browser.open(DIAG)
    await ada.browser.page.wait_for_selector('[data-action="test-line"]')  # type: ignore[attr-defined]
    await picture(ada, "diag-before")
    found = await outcome_of(ada, "test-line")
    assert {check: found["outcomes"][check] for check in LINE} == dict.fromkeys(LINE, "good")
    assert found["outcomes"]["ipv6"] == "good"
    assert found["outcomes"]["camera"] == found["outcomes"]["microphone"] == ""
    assert found["details"]["call"].startswith("Direct, over UDP.")
    assert found["sentence"] == "Your connection works well. Camera and microphone have not been tested."
    found = await outcome_of(ada, "test-devices")
    assert found["sentence"] == "Everything works: connection, camera and microphone."
    assert found["verdict"] == "good"
    await nothing_serious(ada.browser, "diag")
    await both_themes(ada, "diag-good")
    await ada.browser.click('[data-action="copy-report"]')
    report = await until("a report", lambda: ada.browser.evaluate("navigator.clipboard.readText()"), 5)
    assert "Everything works" in report
    assert "Test call: Works" in report
    metrics = await daemon.metrics()
    assert metrics["turnd_rooms"] == metrics['turnd_participants{role="host"}'] == 0
    for direction in ("in", "out"):
        assert 200_000 < total(metrics, f'turnd_diag_bytes_total{{direction="{direction}"}}') < 8_000_000


async def test_where_udp_is_blocked_it_says_so(lan: dict[str, Host], daemon: Daemon, person: PersonFactory) -> None:
    lan["a"].nft(NO_UDP)
    ada = await person("Ada", Chromium, lan["a"], **PHONE)
    await ada.browser.open(DIAG)
    found = await outcome_of(ada, "test-line")
    assert found["sentence"] == "Your network blocks UDP: calls go through the relay and may be slower."
    assert found["verdict"] == "poor"
    expected = {
        "ipv6": "none",
        "websocket": "good",
        "stun": "bad",
        "turn-udp": "bad",
        "turn-tcp": "good",
        "call": "poor",
    }
    assert {check: found["outcomes"][check] for check in expected} == expected
    assert found["details"]["call"].startswith("Through the relay, over T")
    await both_themes(ada, "diag-no-udp-phone")
    await ada.join(f"https://{DAEMON_ADDRESS}:8443/r/behind-a-wall")
    await ada.browser.click('.is-self [data-action="quality"]')
    note = "document.querySelector('.quality-note:not([hidden])')?.textContent"
    words = await until("the panel knows", lambda: ada.browser.evaluate(note), 20)
    assert words == "Your network blocks UDP: the call goes through the relay and may be slower."
    way = await ada.browser.evaluate("document.querySelector('[data-figure=\"way\"]').textContent")
    assert set(way.split(" · ")) <= {"Relay over TCP", "Relay over TLS"}
    await both_themes(ada, "quality-no-udp-phone")


async def test_refused_devices_are_named(lan: dict[str, Host], daemon: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium, lan["a"], locale="fr-FR")
    await ada.browser.page.add_init_script(  # type: ignore[attr-defined]
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }"
    )
    await ada.browser.open(DIAG)
    found = await outcome_of(ada, "test-devices")
    assert "autoris" in found["sentence"]
    assert found["verdict"] == "bad"
    assert found["outcomes"]["websocket"] == ""
    await picture(ada, "diag-refused-french")
