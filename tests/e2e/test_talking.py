"""Talking beside the call: the chat, files, and the questions of a webinar, in real browsers on the real daemon."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.axe import nothing_serious
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE, both_themes, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
STATE = "document.querySelector('turnd-call').call.store.state"
TAKEN = "document.querySelector('[data-field=\"question\"]').value === ''"
# Each line as a reader meets it: who, marks, text.
LINES = """[...document.querySelectorAll('.chat-item')].map(item => [
  item.querySelector('.chat-who')?.textContent ?? '', item.querySelector('.chat-whom')?.textContent ?? '',
  item.querySelector('.chat-text')?.textContent ?? item.querySelector('.file-name')?.textContent ?? ''])"""


async def come(person: Person, url: str, *, panel: str = "chat", webinar: bool = False) -> Any:
    """Joins without devices, which nothing here needs, and opens a panel; the page."""
    page = person.browser.page  # type: ignore[attr-defined]
    await person.join(url, "join" if webinar else "join-silently")
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    if panel:
        await person.browser.click(f'[data-action="{panel}"]')
    return page


async def say(person: Person, text: str) -> None:
    """Writes a line and sends it with Enter."""
    await person.browser.fill('[data-field="message"]', text)
    await person.browser.page.keyboard.press("Enter")  # type: ignore[attr-defined]


async def lines(person: Person, count: int, seconds: float = 10) -> list[list[str]]:
    """The lines of the chat, once there are so many and none is pending."""

    async def probe() -> list[list[str]]:
        shown = await person.browser.evaluate(LINES)
        pending = await person.browser.evaluate(f"{STATE}.chat.some(({{pending}}) => pending)")
        return shown if len(shown) == count and not pending else []

    found: list[list[str]] = await until(f"{person.name} reads {count} lines", probe, seconds)
    return found


async def test_chat_to_all_and_to_one(room: str, visitor: PersonFactory, tmp_path: Path) -> None:
    ada, bob, zoe = await visitor("Ada", locale="fr-FR"), await visitor("Benoît Lefèvre", **PHONE), await visitor("Zoé")
    page = await come(ada, room)
    await picture(ada, "chat-empty-fr-light")
    await asyncio.gather(come(bob, room), come(zoe, room, panel=""))
    await say(ada, "Bonjour <b>Bob</b>, voici : https://example.org/a/long/path?with=a&query")
    await say(bob, "x" * 200)
    await lines(ada, 2)
    await page.select_option('[data-field="receiver"]', label="Benoît Lefèvre")
    await say(ada, "Tu m’entends ?")
    await say(ada, "مرحبا بكم")
    everybody = [["Vous", "", "Bonjour <b>Bob</b>, voici : https://example.org/a/long/path?with=a&query"]]
    everybody += [["Benoît Lefèvre", "", "x" * 200]]
    private = [["Vous", "en privé à Benoît Lefèvre", "Tu m’entends ?"], ["", "", "مرحبا بكم"]]
    assert await lines(ada, 4) == everybody + private
    assert (await lines(bob, 4))[2] == ["Ada", "privately to you", "Tu m’entends ?"]
    for one, name in (ada, "fr"), (bob, "phone"):
        await both_themes(one, f"chat-{name}")
        await nothing_serious(one.browser, f"chat-{name}")

    # Unread while the chat is closed: what was for another is not counted, nor seen by who comes later.
    assert await zoe.browser.evaluate(f"{STATE}.unread") == 2
    await zoe.browser.click('[data-action="chat"]')
    late = await visitor("Léa")
    await come(late, room)
    assert [len(await lines(one, 2)) for one in (zoe, late)] == [2, 2]
    async with page.expect_download() as saved:
        await ada.browser.click('[data-action="save-chat"]')
    text = Path(await (await saved.value).path()).read_text()
    assert re.search(r"\[\d\d:\d\d\] Ada \(en privé à Benoît Lefèvre\): Tu m’entends ?", text)
    assert text.count("[") == 4

    # Whom one writes to has left: nothing goes to all in their place.
    await bob.browser.click('[data-action="leave"]')
    await page.wait_for_selector(".chat-hint:not([hidden])")
    await say(ada, "secret")
    await picture(ada, "chat-receiver-left-fr")
    assert await page.input_value('[data-field="message"]') == "secret"
    await page.select_option('[data-field="receiver"]', value="")
    await page.keyboard.press("Tab")
    await say(ada, "pour tous")
    assert (await lines(zoe, 3))[2] == ["Ada", "", "pour tous"]

    # The host takes the right to write away, and gives it back.
    rights = "document.querySelector('turnd-call').call.room.changeRules({rights: {chat: %s}})"
    zoe_page = zoe.browser.page  # type: ignore[attr-defined]
    await ada.browser.evaluate(rights % "false")
    await zoe_page.wait_for_selector('[data-field="message"]:disabled')
    assert await zoe_page.inner_text(".chat-hint") == "The hosts have turned the chat off."
    await picture(zoe, "chat-forbidden-light")
    await ada.browser.evaluate(rights % "true")
    await zoe_page.wait_for_selector('[data-field="message"]:enabled')


async def test_questions_of_a_webinar(house: Daemon, visitor: PersonFactory) -> None:
    url = f"{PAGE}/r/talk-hall?webinar"
    host, bob, zoe = await visitor("Ada", locale="fr-FR"), await visitor("Bob"), await visitor("Zoé", **PHONE)
    page = await come(host, url, panel="", webinar=True)
    await come(bob, url, panel="questions", webinar=True)
    zoe_page = await come(zoe, url, panel="questions", webinar=True)
    await picture(bob, "questions-empty-light")

    async def ask(one: Person, text: str) -> None:
        await one.browser.fill('[data-field="question"]', text)
        await one.browser.click('[data-action="ask"]')
        await until("the question has been taken", lambda: one.browser.evaluate(TAKEN), 5)

    shown = """[...document.querySelectorAll('[data-question]')].map(line => [
      line.querySelector('.question-text').textContent, line.querySelector('.question-votes').dataset.count,
      line.classList.contains('is-answered')])"""

    async def see(one: Person, expected: list[list[object]]) -> None:
        async def probe() -> bool:
            return bool(await one.browser.evaluate(shown) == expected)

        try:
            await until(f"{one.name} sees the questions", probe, 10)
        except AssertionError:
            assert await one.browser.evaluate(shown) == expected

    await ask(bob, "Combien coûte l’adhésion ?")
    await ask(zoe, "Quand aura lieu l’assemblée générale de l’association, et où, s’il vous plaît ?")
    dot = page.locator('[data-action="questions"] .header-news')
    await dot.wait_for()
    await picture(host, "questions-new-fr-light")
    await host.browser.click('[data-action="questions"]')
    await dot.wait_for(state="hidden")
    first, second = (
        "Combien coûte l’adhésion ?",
        "Quand aura lieu l’assemblée générale de l’association, et où, s’il vous plaît ?",
    )
    await see(host, [[first, "0", False], [second, "0", False]])
    for one in bob, zoe:
        await one.browser.click('[data-question]:has-text("assemblée") [data-action="vote"]')
    await see(host, [[second, "2", False], [first, "0", False]])
    pressed = "[...document.querySelectorAll('[data-action=\"vote\"]')].map(b => b.getAttribute('aria-pressed'))"
    assert sorted(await bob.browser.evaluate(pressed)) == ["false", "true"]
    assert await bob.browser.evaluate("document.querySelectorAll('[data-action=\"answered\"]').length") == 0
    await both_themes(host, "questions-host-fr")
    await both_themes(zoe, "questions-viewer-phone")
    for one in host, zoe:
        await nothing_serious(one.browser, "questions")
    await host.browser.click('[data-question]:has-text("assemblée") [data-action="answered"]')
    await see(host, [[first, "0", False], [second, "2", True]])
    await zoe_page.wait_for_selector(".questions-answered summary")
    await zoe.browser.click(".questions-answered summary")
    await picture(zoe, "questions-answered-phone")
    await zoe.browser.click('[data-question]:has-text("assemblée") [data-action="withdraw"]')
    await host.browser.click('[data-question]:has-text("adhésion") [data-action="remove-question"]')
    for one in host, bob, zoe:
        await see(one, [])
