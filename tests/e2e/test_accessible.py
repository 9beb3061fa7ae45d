"""Everybody can use the page: axe-core finds nothing serious on any view, in either theme."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.axe import nothing_serious, violations
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, loopback_daemon

pytestmark = pytest.mark.browser


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with loopback_daemon(tmp_path / "daemon") as made:
        yield made


async def in_both_themes(person: Person, view: str) -> None:
    """Nothing serious, on light and on dark."""
    for scheme in ("light", "dark"):
        await person.browser.page.emulate_media(color_scheme=scheme)  # type: ignore[attr-defined]
        await nothing_serious(person.browser, f"{view}, {scheme}")


async def test_axe_finds_nothing_serious_on_any_view(daemon: Daemon, person: PersonFactory) -> None:
    ada, bob = await person("Ada", Chromium), await person("Bob", Chromium)
    await ada.browser.open(PAGE)
    await ada.browser.page.wait_for_selector('[data-field="room"]')  # type: ignore[attr-defined]
    await in_both_themes(ada, "home")
    await ada.browser.open(f"{PAGE}/r/for-all")
    await ada.browser.page.wait_for_selector('[data-action="join"]')  # type: ignore[attr-defined]
    await in_both_themes(ada, "lobby")
    await ada.join(f"{PAGE}/r/for-all")
    await bob.join(f"{PAGE}/r/for-all")
    await ada.sees_others(1)
    await in_both_themes(ada, "call")
    for panel in ("chat", "people"):
        await ada.browser.click(f'[data-action="{panel}"]')
        await in_both_themes(ada, panel)
        await ada.browser.click(f'[data-action="{panel}"]')
    await ada.browser.click('turnd-tile:not(.is-self) [data-action="quality"]')
    await in_both_themes(ada, "quality panel")
    await ada.browser.page.keyboard.press("Escape")  # type: ignore[attr-defined]
    await ada.browser.click('[data-action="leave"]')
    await in_both_themes(ada, "ended")


async def test_axe_sees_what_is_wrong(daemon: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium)
    await ada.browser.open(PAGE)
    await ada.browser.page.wait_for_selector('[data-field="room"]')  # type: ignore[attr-defined]
    await ada.browser.evaluate("() => document.querySelector('[data-action=shuffle]').removeAttribute('aria-label')")
    await ada.browser.evaluate("() => document.querySelector('[data-action=shuffle]').removeAttribute('title')")
    with pytest.raises(AssertionError, match="button-name"):
        await nothing_serious(ada.browser, "home")
    assert "button-name" in {one["rule"] for one in await violations(ada.browser)}
