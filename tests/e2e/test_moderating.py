"""Hosts and the rules of a room on the page: who comes in, who may do what, who has to leave, in real browsers."""

from __future__ import annotations

import asyncio
import io
from urllib.parse import unquote

import pytest
import zxingcpp
from PIL import Image
from playwright.async_api import Page, expect

from tests.e2e.axe import nothing_serious
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
# The sheet belongs to the system; headless browsers have none.
SHARE_SHEET = "navigator.share = async data => { window.shared = data; }"
STATE = "document.querySelector('turnd-call').call.store.state"


def page_of(person: Person) -> Page:
    page = person.browser.page  # type: ignore[attr-defined]
    assert isinstance(page, Page)
    return page


async def shows_all(person: Person, view: str) -> None:
    """Pictures of a view in both themes, which nothing keeps anybody from using."""
    for scheme in ("light", "dark"):
        await page_of(person).emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await picture(person, f"{view}-{scheme}")
        await nothing_serious(person.browser, f"{view}, {scheme}")


async def knock(person: Person, url: str, button: str = "join-silently") -> Page:
    """Opens the room and asks to come in, without devices unless they have been used before."""
    await person.join(url, button)
    return page_of(person)


async def enters(person: Person, url: str, button: str = "join-silently") -> Page:
    """Comes in."""
    page = await knock(person, url, button)
    await is_in(page)
    return page


async def is_in(page: Page) -> None:
    await expect(page.locator("turnd-call")).to_have_attribute("data-phase", "call")


async def is_refused(page: Page, words: str) -> None:
    await expect(page.locator('[data-banner="refused"]')).to_contain_text(words)


async def ends(page: Page, words: str) -> None:
    await expect(page.locator("turnd-ended")).to_contain_text(words)


async def rule(host: Page, name: str, *, on: bool) -> None:
    """Turns a switch of the rules, and awaits the server's answer."""
    if not await host.locator('[data-dialog="rules"]').is_visible():
        await host.evaluate("document.querySelector('turnd-call').dispatchEvent(new Event('openrules'))")
    switch = host.locator(f'[data-rule="{name}"]')
    await expect(switch).to_be_checked(checked=not on)
    await switch.click()
    await expect(switch).to_be_checked(checked=on)


async def close_dialog(page: Page) -> None:
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)


async def holds(page: Page, expression: str) -> None:
    """Awaits that something is true in the page, whose policy lets nobody else evaluate it there."""
    await until(expression, lambda: page.evaluate(expression), 10)


async def tell(host: Page, name: str, action: str) -> None:
    """Presses something in the menu of the person of that name, whose row the people panel shows."""
    await host.locator(".people-item", has_text=name).locator('[data-action="person-menu"]').click()
    await host.click(f'.menu [data-action="{action}"]')


async def read_code(page: Page) -> str:
    """What a camera reads off the screen."""
    await page.locator('[data-shown="qr"]').evaluate("image => image.decode()")
    with Image.open(io.BytesIO(await page.screenshot())) as picture:
        [found] = zxingcpp.read_barcodes(picture)
    return found.text


async def test_who_comes_in_is_up_to_the_hosts(house: Daemon, visitor: PersonFactory) -> None:
    room = f"{PAGE}/r/porte"
    mara, ben, cem = [await visitor(name) for name in ("Mara", "Ben", "Cem")]
    await page_of(mara).context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page_of(mara).add_init_script(SHARE_SHEET)
    host = await enters(mara, room)
    await rule(host, "lobby", on=True)
    await shows_all(mara, "rules")
    await close_dialog(host)

    guest = await knock(ben, room)
    await expect(guest.locator("turnd-waiting")).to_contain_text("as soon as a host sees it")
    await shows_all(ben, "waiting-guest")
    await expect(host.locator("turnd-admission")).to_contain_text("Ben is waiting to come in.")
    await shows_all(mara, "waiting-host")
    waited = await host.evaluate(f"{STATE}.moderation.waiting[0].id")
    await house.kill()
    await expect(guest.locator("turnd-waiting")).to_contain_text("Reconnecting")
    await house.start()
    await holds(host, f"(id => id && id !== '{waited}')({STATE}.moderation?.waiting[0]?.id)")
    await host.click('turnd-admission [data-action="admit"]')
    await is_in(guest)

    other = await knock(cem, room)
    await host.click('turnd-admission [data-action="deny"]')
    await is_refused(other, "A host did not let you in.")
    await other.click('[data-action="join-silently"]')
    await expect(host.locator("turnd-admission")).to_contain_text("Cem")
    await other.click('[data-action="cancel-join"]')
    await expect(host.locator("turnd-admission")).to_be_hidden()

    await rule(host, "lobby", on=False)
    await rule(host, "locked", on=True)
    await close_dialog(host)
    await is_refused(await knock(cem, room), "This room is locked")
    for known, role in ((guest, "speaker"), (host, "host")):
        await known.reload()
        await known.click('[data-action="join-silently"]')
        await is_in(known)
        assert await known.evaluate(f"{STATE}.role") == role

    await host.click('turnd-header [data-action="invite"]')
    for scheme in ("dark", "light"):
        await host.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await read_code(host) == room
    await host.click('[data-dialog="invite"] [data-action="copy-link"] >> nth=0')
    await expect(host.get_by_text("Link copied")).to_be_visible()
    assert await host.evaluate("navigator.clipboard.readText()") == room
    await host.click('[data-action="share-link"]')
    assert await host.evaluate("shared.url") == room
    letter = await host.get_attribute('[data-action="mail-link"]', "href")
    assert letter is not None
    assert room in unquote(letter)
    await host.fill('[data-field="invitation-label"]', "Cem")
    await host.click('[data-action="make-invitation"]')
    await host.wait_for_selector("[data-invitation]")
    await shows_all(mara, "invite")
    token = await host.evaluate(f"{STATE}.moderation.invitations[0].token")
    await other.goto("about:blank")
    await other.goto(f"{room}#invite={token}")
    await expect(other).to_have_url(room)
    await other.reload()
    await other.click('[data-action="join-silently"]')
    await is_in(other)

    await host.click('[data-action="revoke"]')
    await expect(host.locator("[data-invitation]")).to_have_count(0)
    dora = await visitor("Dora")
    late = await knock(dora, f"{room}#invite={token}")
    await is_refused(late, "This invitation is over.")
    key = await host.evaluate(f"{STATE}.moderation.host_key")
    await late.goto(PAGE)
    await late.fill('[data-field="room"]', f"{room}?webinar#host={key}")
    await expect(late.get_by_text(f"{room}?webinar", exact=True)).to_be_visible()
    await late.click('[data-field="webinar"]')
    await late.click('[data-action="open"]')
    await expect(late).to_have_url(room)
    await late.click('[data-action="join-silently"]')
    await is_in(late)
    assert await late.evaluate(f"{STATE}.role") == "host"
    assert await late.evaluate(f"{STATE}.rules.locked")


async def test_what_people_do_in_the_room_is_up_to_the_hosts(visitor: PersonFactory) -> None:
    room = f"{PAGE}/r/assemblee"
    mara, ben, cem = [await visitor(name) for name in ("Mara", "Ben", "Cem")]
    host = await enters(mara, room)
    await ben.join(room)
    guest, other = page_of(ben), await enters(cem, room)
    await is_in(guest)
    await host.click('[data-action="people"]')

    await other.click('[data-action="hand"]')
    await expect(host.locator(".people-name").first).to_have_text("Cem")
    await guest.click('[data-action="hand"]')
    await expect(host.locator(".people-name")).to_have_text(["Cem", "Ben", "Mara (you)"])
    await shows_all(mara, "people-hands")
    await tell(host, "Cem", "lower-hand")
    await expect(host.locator(".people-name")).to_have_text(["Ben", "Mara (you)", "Cem"])

    await holds(guest, f"{STATE}.microphone === 'on' && {STATE}.camera === 'on'")
    await host.locator(".people-item", has_text="Ben").get_by_label("microphone on").wait_for()
    await tell(host, "Ben", "mute")
    await expect(guest.locator('[data-action="microphone"]')).to_have_attribute("aria-pressed", "false")
    await expect(guest.locator('[data-banner="notice"]')).to_contain_text("Mara")
    await host.locator(".people-item", has_text="Ben").get_by_label("microphone off").wait_for()
    await tell(host, "Ben", "stop-video")
    await expect(guest.locator('[data-action="camera"]')).to_have_attribute("aria-pressed", "false")

    for right in ("unmute", "share", "chat"):
        await rule(host, right, on=False)
    await close_dialog(host)
    for action in ("microphone", "share"):
        await expect(guest.locator(f'turnd-controls [data-action="{action}"]')).to_have_attribute(
            "aria-disabled", "true"
        )
    await guest.click('[data-action="chat"]')
    await expect(guest.locator('[data-field="message"]')).to_be_disabled()

    await tell(host, "Cem", "promote")
    await expect(other.locator('[data-banner="notice"]')).to_contain_text("Mara made you a host.")
    await expect(other.locator('turnd-controls [data-action="share"]')).to_have_attribute("aria-disabled", "false")
    await rule(other, "unmute", on=True)
    await close_dialog(other)
    await expect(guest.locator('turnd-controls [data-action="microphone"]')).to_have_attribute("aria-disabled", "false")

    await tell(host, "Ben", "remove")
    await host.click('[data-action="confirm"]')
    await ends(guest, "A host removed you.")
    await shows_all(ben, "ended-removed")
    await guest.click('[data-action="rejoin"]')
    await guest.click('[data-action="join"]')
    await is_in(guest)

    await tell(host, "Ben", "ban")
    await expect(host.locator('[data-dialog="confirmation"]')).to_contain_text("behind the same connection")
    await shows_all(mara, "ban")
    await host.click('[data-action="confirm"]')
    await ends(guest, "closed the room to your connection")
    await is_refused(await knock(ben, room, "join"), "closed this room to your connection")
    await shows_all(ben, "refused-banned")
    await host.click('turnd-people [data-action="rules"]')
    await host.click('[data-action="lift-ban"]')
    await expect(host.locator('[data-list="bans"]')).to_be_hidden()
    await enters(ben, room, "join")

    await host.click('[data-action="end-for-all"]')
    await host.click('[data-action="confirm"]')
    await asyncio.gather(*(ends(page, "A host has ended it for everybody.") for page in (host, guest, other)))
    await shows_all(cem, "ended-for-all")
