"""Somebody with Firefox in a call with somebody with Chromium: what its engine does its own way, and `/diag` there."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.axe import nothing_serious
from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import STATS_OF, Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, picture

pytestmark = pytest.mark.browser
STATE = "document.querySelector('turnd-call').call.store.state"
# As somebody who drags a file here. (What a script pastes is empty in Firefox.)
DROP = """() => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["dropped"], "list.txt", { type: "text/plain" }));
  for (const type of ["dragenter", "drop"])
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
}"""
# Firefox leaves who asks a connection that closes without an answer: what moves files and draws bars must go on.
STATS_OF_WHAT_CLOSES = f"""async () => {{
  {STATS_OF}
  const connection = document.querySelector("turnd-call").call.publishConnection;
  const stats = statsOf(connection);
  connection.close();
  return await stats;
}}"""
ROWS = """() => ({
  over: document.querySelector("[data-verdict]").dataset.verdict !== "",
  ...Object.fromEntries([...document.querySelectorAll("[data-check]")].map((row) =>
    [row.dataset.check, row.dataset.outcome])) })"""


async def holds(person: Person, expression: str, seconds: float = 10) -> Any:
    """Awaits that something is true in this person's page."""
    return await until(f"{person.name}: {expression}", lambda: person.browser.evaluate(expression), seconds)


async def press(person: Person, *actions: str) -> None:
    """Clicks one after the other."""
    for action in actions:
        await person.browser.click(f'[data-action="{action}"]')


def is_there(selector: str) -> str:
    """An expression for something that is shown."""
    return f"Boolean(document.querySelector({json.dumps(selector)})?.checkVisibility())"


async def diag_finds_no_fault(ada: Person) -> None:
    """Both of its tests, on a line where all is well."""
    await ada.browser.open(f"{PAGE}/diag")
    for action in ("test-devices", "test-line"):
        await press(ada, action)

        async def over() -> dict[str, str] | None:
            rows: dict[str, str] = await ada.browser.evaluate(ROWS)
            return rows if rows.pop("over") and "running" not in rows.values() else None

        rows = await until(f"{action} is over", over, 60)
    await picture(ada, "firefox-diag")
    # Its fake microphone hums, and what hums is taken away as noise.
    assert rows["microphone"] in ("good", "poor")
    works = ("camera", "websocket", "call", "stun", "turn-udp", "turn-tcp", "download", "upload")
    assert {check: rows[check] for check in works} == dict.fromkeys(works, "good")


async def test_a_call_from_firefox(loopback: Daemon, person: PersonFactory, tmp_path: Path) -> None:
    ada, bob = await asyncio.gather(person("Ada", Firefox), person("Bob", Chromium))
    await ada.join(f"{PAGE}/r/firefox")
    await holds(ada, f"{STATE}.phase === 'call'")
    await bob.join(f"{PAGE}/r/firefox")
    await asyncio.gather(ada.sees_others(1), bob.sees_others(1))

    # Files, there and back.
    await press(ada, "chat")
    await press(bob, "chat")
    await ada.browser.evaluate(DROP)
    await holds(ada, is_there(".chat-attachments li"))
    await press(ada, "send")
    page = bob.browser.page  # type: ignore[attr-defined]
    async with page.expect_download() as started:
        await page.click('[data-file] [data-action="download"]')
    assert Path(await (await started.value).path()).read_text() == "dropped"
    sent, body = tmp_path / "Été.bin", bytes(range(256)) * 12_000
    sent.write_bytes(body)
    await page.set_input_files('[data-field="files"]', sent)
    await press(bob, "send")
    await holds(ada, "document.querySelectorAll('[data-file] [data-action=\"download\"]').length === 2", 30)
    await ada.browser.click(".chat-item:last-of-type [data-action='download']")
    saved = ada.browser.downloads / sent.name  # type: ignore[attr-defined]

    async def came() -> bool:
        return saved.exists() and hashlib.sha256(saved.read_bytes()).digest() == hashlib.sha256(body).digest()

    await until("Firefox has saved the file", came, 30)
    await ada.browser.fill('[data-field="message"]', "Voilà")
    await press(ada, "send")
    await holds(bob, f"{STATE}.chat.at(-1).text === 'Voilà'")
    await picture(ada, "firefox-chat")
    await nothing_serious(ada.browser, "firefox-chat")

    # A hand, a reaction, a switch; what a host does to another.
    await press(ada, "hand", "react", "reaction", "microphone")
    seen_of_ada = f"{STATE}.participants[0]"
    await holds(bob, f"{seen_of_ada}.hand > 0 && !{seen_of_ada}.microphone")
    await press(ada, "hand", "microphone", "people")
    await holds(bob, f"{seen_of_ada}.hand === 0 && {seen_of_ada}.microphone")
    await ada.browser.click('.people-item:last-of-type [data-action="person-menu"]')
    await ada.browser.click('.menu [data-action="mute"]')
    await holds(bob, f"{STATE}.microphone === 'off'")
    await picture(ada, "firefox-people")
    await press(ada, "people")
    await press(ada, "more", "settings")
    await holds(ada, is_there('[data-dialog="settings"]'))
    await press(ada, "close-settings")

    # A power cut, and the devices of who leaves.
    await loopback.kill()
    await holds(ada, is_there('[data-banner="reconnecting"]'))
    await loopback.start()
    await holds(ada, f"!{STATE}.reconnecting && {STATE}.chat.length === 3", 15)
    await until("Firefox is seen and heard again", lambda: bob.moving(1), 15)
    await until("it sees again", ada.sees, 15)
    assert await ada.browser.evaluate(STATS_OF_WHAT_CLOSES) is None
    await press(ada, "leave")
    await holds(ada, f"{STATE}.phase === 'ended' && {STATE}.camera === 'off'")
    await holds(bob, f"{STATE}.participants.length === 0")
    await diag_finds_no_fault(ada)
