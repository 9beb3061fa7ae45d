"""Every language fits the page, and Arabic runs from right to left; pictures of its views to look at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.axe import nothing_serious
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, picture

pytestmark = [pytest.mark.browser, pytest.mark.alone]

LANGUAGES = ["en", "fr", "de", "es", "it", "pt", "nl", "ar"]
LONGEST_AND_OTHER_WAY = {"de", "ar"}
WIDTHS = {"desktop": (1280, 800), "phone": (390, 844), "small": (320, 640)}

WORDS = "button:not(.tile-quality), h1:not(.header-room), h2, legend, .control-word"
CUT = f"""(() => {{
  const shown = [...document.querySelectorAll({WORDS!r})].filter((each) => each.checkVisibility());
  const cut = shown.filter((each) => each.clientWidth > 1 && each.scrollWidth > each.clientWidth + 1);
  const wide = document.documentElement.scrollWidth - innerWidth;
  const words = cut.map((each) => `${{each.className}}: ${{each.textContent}}`);
  return wide > 0 ? [...words, `page: ${{wide}} px too wide`] : words;
}})()"""


async def speak(person: Person, language: str) -> None:
    """Chooses the language where people do."""
    page: Any = person.browser.page  # type: ignore[attr-defined]
    await page.locator('[data-field="language"]').first.select_option(language)
    await page.wait_for_selector(f'html[lang="{language}"][dir="{"rtl" if language == "ar" else "ltr"}"]')


async def fits(person: Person, view: str, language: str) -> list[str]:
    """What does not fit on the widest and the narrowest screen. Keeps pictures of Arabic."""
    found = []
    for size, (width, height) in WIDTHS.items():
        if size == "phone" and language != "ar":
            continue
        await person.browser.resize(width, height)
        found += [f"{view}, {language}, {size}: {each}" for each in await person.browser.evaluate(CUT)]
        if language == "ar":
            await picture(person, f"{view}-{size}-ar")
    await person.browser.resize(*WIDTHS["desktop"])
    return found


async def test_every_language_fits_every_view(loopback: Daemon, person: PersonFactory) -> None:
    ada, bob = await person("Ada", Chromium), await person("Bob", Chromium)
    page: Any = ada.browser.page  # type: ignore[attr-defined]
    room, found = f"{PAGE}/r/languages", []
    await ada.browser.open(PAGE)
    for language in LANGUAGES:
        await speak(ada, language)
        found += await fits(ada, "home", language)
    await ada.browser.open(f"{PAGE}/diag")
    await page.wait_for_selector('html[lang="ar"] [data-action]')
    found += await fits(ada, "diag", "ar")
    await ada.browser.open(room)
    await page.wait_for_selector('html[lang="ar"] [data-action="join"]')
    found += await fits(ada, "lobby", "ar")
    for one in (ada, bob):  # without pictures, which take the time of those two cores
        await one.join(room, "join-silently")
    await page.wait_for_selector("turnd-tile:nth-of-type(2)")
    for language in LANGUAGES:
        await ada.browser.click('[data-action="more"]')
        await ada.browser.click('[data-action="settings"]')
        await speak(ada, language)
        found += await fits(ada, "settings", language)
        await page.keyboard.press("Escape")
        found += await fits(ada, "call", language)
        await nothing_serious(ada.browser, f"call, {language}")
        for panel in ("chat", "people"):
            await ada.browser.click(f'[data-action="{panel}"]')
            found += await fits(ada, panel, language)
            await ada.browser.click(f'[data-action="{panel}"]')
        for dialog in ("invite", "rules", "shortcuts") if language in LONGEST_AND_OTHER_WAY else ():
            await ada.browser.click('[data-action="more"]')
            await ada.browser.click(f'.menu [data-action="{dialog}"]')
            found += await fits(ada, dialog, language)
            await page.keyboard.press("Escape")
    assert not found, "\n".join(found)
