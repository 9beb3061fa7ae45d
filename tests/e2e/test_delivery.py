"""How the page comes to a browser: its weight, what a second visit costs, installing it, and links from any state."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE

pytestmark = pytest.mark.browser

MOST_BYTES = 300_000
SECOND_VISIT_BYTES = 20_000
LOADED = """() => {
  const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  return entries.map(({ name, transferSize, encodedBodySize, decodedBodySize }) =>
    ({ name, transferSize, encodedBodySize, decodedBodySize }));
}"""


async def everything_loaded(person: Person) -> list[dict[str, Any]]:
    """What the page has loaded since it was opened; nothing of it from elsewhere."""
    entries: list[dict[str, Any]] = await person.browser.evaluate(LOADED)
    assert all(entry["name"].startswith(PAGE) for entry in entries)
    return entries


async def test_the_page_is_light_and_a_second_visit_loads_nothing_but_the_document(
    loopback: Daemon, person: PersonFactory
) -> None:
    ada = await person("Ada", Chromium)
    await ada.join(f"{PAGE}/r/weighed")
    page: Any = ada.browser.page  # type: ignore[attr-defined]
    await page.wait_for_selector('turnd-call[data-phase="call"] turnd-tile video')
    for panel in ("chat", "people"):
        await ada.browser.click(f'[data-action="{panel}"]')
    entries = await everything_loaded(ada)
    weight = sum(entry["transferSize"] for entry in entries)
    print(f"{len(entries)} requests, {weight} bytes with headers until the call stands")
    assert 50_000 < weight < MOST_BYTES
    for entry in entries:
        if entry["decodedBodySize"] > 4096 and not entry["name"].endswith(".png"):
            assert entry["encodedBodySize"] < 0.8 * entry["decodedBodySize"], f"{entry['name']} is not compressed"
        if entry["name"].endswith((".js", ".css")):
            assert f"{PAGE}/assets/" in entry["name"]
            assert len(entry["name"].removeprefix(f"{PAGE}/assets/").partition("/")[0]) == 16, entry["name"]
    styles = [entry for entry in entries if entry["name"].endswith(".css")]
    assert len(styles) == 1
    assert not [line for line in ada.browser.console if "preload" in line or "error" in line.lower()]
    await ada.browser.open(f"{PAGE}/r/weighed-again")
    await page.wait_for_selector('[data-action="join"]')
    again = sum(entry["transferSize"] for entry in await everything_loaded(ada))
    print(f"{again} bytes the second time")
    assert again < SECOND_VISIT_BYTES
    devtools = await page.context.new_cdp_session(page)
    manifest = await devtools.send("Page.getAppManifest")
    assert manifest["errors"] == []
    reasons = await devtools.send("Page.getInstallabilityErrors")
    # Playwright's contexts are private windows, from which nothing is ever installed.
    assert {one["errorId"] for one in reasons["installabilityErrors"]} <= {"in-incognito"}


async def test_links_lead_into_their_room_from_any_state(loopback: Daemon, person: PersonFactory) -> None:
    ada, bob = await person("Ada", Chromium), await person("Bob", Chromium)
    page: Any = ada.browser.page  # type: ignore[attr-defined]
    names = "document.querySelector('turnd-call').call.store.state.participants.map(({name}) => name)"

    async def at_the_door(room: str) -> None:
        """Before that room, with the name filled in, and nothing of a call before."""
        await page.wait_for_selector('turnd-call[data-phase="lobby"]')
        assert page.url.startswith(f"{PAGE}/r/{room}")
        assert await page.input_value('[data-field="name"]') == "Ada"
        assert await page.evaluate("document.querySelector('turnd-call').call.store.state.room") == room

    async def bob_sees(*expected: str) -> None:
        async def probe() -> bool:
            return bool(await bob.browser.evaluate(names) == list(expected))

        await until(f"Bob sees {expected}", probe, 10)

    await bob.join(f"{PAGE}/r/garden")
    await ada.browser.open(PAGE)
    await ada.browser.fill('[data-field="room"]', f"{PAGE}/r/Gard%C3%A9n?name=Ada")
    await ada.browser.click('[data-action="open"]')
    await page.wait_for_url(f"{PAGE}/r/garden*")
    await ada.browser.fill('[data-field="name"]', "Ada")
    await ada.browser.click('[data-action="join"]')
    await ada.sees_others(1)
    await bob_sees("Ada")
    await page.goto(f"{PAGE}/r/kitchen")  # typed into the address bar in the middle of a call
    await bob_sees()
    await at_the_door("kitchen")
    await ada.browser.click('[data-action="join"]')
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    await page.go_back()
    await at_the_door("garden")
    await ada.browser.click('[data-action="join"]')
    await bob_sees("Ada")
    await page.reload()
    await bob_sees()
    await at_the_door("garden")
    await ada.browser.click('[data-action="join"]')
    await ada.sees_others(1)
    await page.go_forward()
    await at_the_door("kitchen")
    await bob_sees()
