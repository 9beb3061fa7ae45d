"""Every view of the page, on desktop and telephone: pictures to look at, axe-core, and nothing wider than the screen.

The pictures are in French and Arabic, one of them light and one dark, under `screenshots/views/`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.e2e.axe import nothing_serious, serious, violations
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person
from tests.e2e.conftest import SCREENSHOTS, PersonFactory
from tests.e2e.crowd import Crowd, crowd
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE

pytestmark = [pytest.mark.browser, pytest.mark.alone]

DEVICES: dict[str, dict[str, Any]] = {"desktop": {}, "phone": PHONE}
SHARE = ["--auto-select-desktop-capture-source=Entire screen"]
VIEWS = SCREENSHOTS / "views"
# The module that the page itself uses, by the address it was served under.
SPEAK = """async (language) => {
  const modules = [...document.querySelectorAll('link[rel="modulepreload"]')].map(link => link.href);
  const { useLanguage } = await import(modules.find(href => href.endsWith('/js/language.js')));
  await useLanguage(language);
  const ending = document.getAnimations().filter(each => each.effect.getTiming().iterations < 9);
  await Promise.allSettled(ending.map(each => each.finished));
}"""
# Awaits that the server says so.
LOBBY = """() => new Promise(resolve => {
  const { room, signalling } = document.querySelector('turnd-call').call;
  signalling.on('rules', resolve);
  room.changeRules({ lobby: true });
})"""
# Elements that reach over the side of the screen, but for those in something that scrolls or cuts.
TOO_WIDE = """() => [...document.body.querySelectorAll('*')].filter(element => {
  const box = element.getBoundingClientRect();
  if (!element.checkVisibility() || box.width === 0 || element.closest('svg')) return false;
  if (box.left >= -1 && box.right <= innerWidth + 1) return false;
  for (let up = element.parentElement; up; up = up.parentElement) {
    if (getComputedStyle(up).overflowX !== 'visible') return false;
  }
  return getComputedStyle(element).clipPath === 'none';
}).map(element => `${element.localName}.${element.className}: ${JSON.stringify(element.getBoundingClientRect())}`)"""

# Initials that something lies over.
COVERED = """() => [...document.querySelectorAll('.tile-avatar')].flatMap(avatar => {
  if (!avatar.checkVisibility()) return [];
  const tile = avatar.closest('turnd-tile'), at = avatar.getBoundingClientRect();
  return [...tile.querySelectorAll('.tile-tools button, .tile-signs > *, .tile-label, .tile-quality')].filter(other => {
    const { left, right, top, bottom } = other.getBoundingClientRect();
    return other.checkVisibility() && left < at.right && right > at.left && top < at.bottom && bottom > at.top;
  }).map(other => `${tile.ariaLabel}: ${other.className} covers the initials`);
})"""


class Looker:
    """Somebody whose every view is looked at."""

    def __init__(self, person: Person, device: str) -> None:
        self.person = person
        self.page = person.browser.page  # type: ignore[attr-defined]
        self.device = device
        # What is dark in one language on a desktop is light in it on a telephone.
        dark = {"desktop": "ar", "phone": "fr"}[device]
        self._looks = [(language, "dark" if language == dark else "light") for language in ("ar", "fr")]
        self.faults: list[str] = []

    async def look(self, view: str, menu: str = "") -> None:
        """Pictures of what is shown now, and what no picture tells. A `menu` has its words from when it is opened."""
        for language, scheme in self._looks:
            await self.page.emulate_media(color_scheme=scheme)
            await self.page.evaluate(SPEAK, language)
            if menu:
                await self.page.keyboard.press("Escape")
                await self.press(menu)
            await self.person.browser.screenshot(VIEWS / f"{view}-{self.device}-{language}-{scheme}.png")
            for faults in (TOO_WIDE, COVERED):
                self.faults += [f"{view}, {language}: {each}" for each in await self.page.evaluate(faults)]
        self.faults += await serious(self.person.browser, f"{view} on a {self.device}")

    async def press(self, action: str) -> None:
        """Presses the button of that action that can be seen."""
        await self.page.click(f'[data-action="{action}"]:visible')

    async def choose(self, action: str) -> None:
        """Chooses from the menu of what finds no place in the bar."""
        await self.press("more")
        await self.press(action)

    async def opened(self, action: str, view: str) -> None:
        """Looks at what opens there, and closes it."""
        await self.press(action)
        await self.look(view)
        await self.page.keyboard.press("Escape")

    async def unfolded(self, menu: str) -> None:
        """The same of a menu."""
        await self.press(menu)
        await self.look(menu, menu)
        await self.page.keyboard.press("Escape")

    async def chosen(self, action: str, view: str) -> None:
        """The same of what opens from the menu."""
        await self.choose(action)
        await self.look(view)
        await self.page.keyboard.press("Escape")


async def arrive(person: PersonFactory, device: str) -> Looker:
    """Somebody with this device."""
    VIEWS.mkdir(parents=True, exist_ok=True)
    return Looker(await person("Aïcha", Chromium, arguments=SHARE, **DEVICES[device]), device)


@pytest.fixture(params=DEVICES)
async def looker(request: pytest.FixtureRequest, loopback: Daemon, person: PersonFactory) -> AsyncIterator[Looker]:
    """On either device. All views are looked at before what is wrong with any of them fails the test."""
    made = await arrive(person, request.param)
    yield made
    assert not made.faults, "\n".join(made.faults)


async def say(others: Crowd) -> None:
    """A few of the others write."""
    lines = ("Bonjour à toutes et à tous.", "L’ordre du jour : https://example.org/assemblee/2026", "مرحبا بكم جميعا")
    for attendee, text in zip(others.people, lines, strict=False):
        await attendee.socket.send_json({"type": "chat", "text": text})


async def test_every_view_of_a_meeting(looker: Looker) -> None:
    person, page, room = looker.person, looker.page, f"{PAGE}/r/jardin-matin-voilier"
    await person.browser.open(PAGE)
    await page.wait_for_selector('[data-field="room"]')
    await looker.look("home")
    await person.browser.open(room)
    await page.wait_for_selector('[data-action="join"]')
    await looker.look("lobby")
    await looker.opened("settings", "settings")
    await person.join(room)
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    await looker.look("alone")
    await looker.opened("invite", "invite")
    async with crowd(room) as others:
        await others.come(4)
        await page.wait_for_selector("turnd-tile:nth-of-type(5)", state="attached")
        await looker.look("call-5")
        await others.people[1].socket.send_json({"type": "hand", "up": True})
        await say(others)
        await page.wait_for_selector(".tile-hand:visible")
        await looker.look("call-hand-unread")
        await looker.press("chat")
        await looker.look("chat")
        await page.keyboard.press("Escape")
        await looker.press("people")
        await looker.look("people")
        await looker.unfolded("person-menu")
        await looker.press("people")
        await looker.unfolded("more")
        await looker.chosen("rules", "rules")
        if looker.device == "desktop":  # where there are keys
            await looker.chosen("shortcuts", "shortcuts")
            await looker.press("share")
            await page.wait_for_selector('[data-banner="sharing"]:visible')
            await looker.look("sharing")
            await looker.press("stop-share")
            await page.wait_for_selector('[data-banner="sharing"]', state="hidden")
        await looker.opened("view", "speaker-view")
        await looker.press("view")
        await looker.opened("quality", "quality")
        await page.evaluate(LOBBY)
        async with aiohttp.ClientSession() as http, http.ws_connect(f"{room}/ws") as waiting:
            await waiting.send_json({"type": "join", "version": 1, "name": "Inès de la Tour-Saint-Pierre"})
            await page.wait_for_selector("turnd-admission:visible")
            await looker.look("waiting-host")
    await looker.press("leave")
    await looker.look("ended")


async def test_every_view_of_a_webinar(looker: Looker) -> None:
    person, page, room = looker.person, looker.page, f"{PAGE}/r/conference"
    async with crowd(room) as others:
        await person.browser.open(f"{room}?webinar")
        await page.wait_for_selector('[data-action="join"]')
        await looker.look("webinar-lobby")
        await person.join(f"{room}?webinar")
        await page.wait_for_selector('turnd-call[data-phase="call"]')
        await looker.press("questions")
        await looker.look("questions-empty")
        await others.come(3, show=False)
        for attendee, text in zip(others.people, ("Quand aura lieu la prochaine assemblée ?", "Et où ?"), strict=False):
            await attendee.socket.send_json({"type": "ask", "text": text})
        await page.wait_for_selector("[data-question]:nth-of-type(2)")
        await looker.look("questions")
        await page.keyboard.press("Escape")
        await looker.press("people")
        await looker.look("webinar-people")
    await person.browser.open(f"{PAGE}/diag")
    await page.wait_for_selector("h1")
    await looker.look("diag")


async def test_the_views_of_nine_and_twenty_five(loopback: Daemon, person: PersonFactory) -> None:
    room = f"{PAGE}/r/assemblee"
    lookers = [await arrive(person, device) for device in ("desktop", "phone")]
    async with crowd(room) as others:
        await others.come(7)
        for looker in lookers:
            await looker.person.join(room)
        for looker in lookers:
            await looker.page.wait_for_selector("turnd-tile:nth-of-type(9)", state="attached")
            await looker.look("call-9")
        await others.come(16)
        for looker in lookers:
            await looker.page.wait_for_selector(".stage-pager:visible")
            await looker.look("call-25")
        looker = lookers[1]
        await looker.press("camera")
        await looker.press("hand")
        await looker.page.wait_for_selector("turnd-tile.is-self:not(.has-picture) .tile-hand:visible")
        await looker.look("call-25-initials")
    assert not [fault for looker in lookers for fault in looker.faults]


async def test_axe_sees_what_is_wrong(loopback: Daemon, person: PersonFactory) -> None:
    looker = await arrive(person, "desktop")
    browser = looker.person.browser
    await browser.open(PAGE)
    await looker.page.wait_for_selector('[data-field="room"]')
    await browser.evaluate("() => document.querySelector('[data-action=shuffle]').removeAttribute('aria-label')")
    await browser.evaluate("() => document.querySelector('[data-action=shuffle]').removeAttribute('title')")
    with pytest.raises(AssertionError, match="button-name"):
        await nothing_serious(browser, "home")
    assert "button-name" in {one["rule"] for one in await violations(browser)}
