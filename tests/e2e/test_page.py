"""What people do on the page, in real browsers with the real daemon; and pictures of every view to look at."""

from __future__ import annotations

import asyncio
import json
import re
import time

import pytest
import pytest_asyncio

from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import HOST, PAGE, PHONE, PORT, TURN_PORT, TURNS_PORT, both_themes, picture
from turnd.ice_servers import turn_urls
from turnd.state import StateDirectory
from turnd.turn.credentials import rest_credentials

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.asyncio(loop_scope="module")]
# More guesses of a room's password than one address has.
GUESS = """async (url) => {
  for (let guess = 0; guess < 12; guess += 1) {
    const socket = new WebSocket(url.replace("http", "ws") + "/ws");
    await new Promise((opened) => { socket.onopen = opened; });
    socket.send(JSON.stringify({ type: "join", version: 1, name: "Guess", password: String(guess) }));
    await new Promise((closed) => { socket.onclose = closed; });
  }
}"""
SHARE = ["--auto-select-desktop-capture-source=Entire screen"]


@pytest_asyncio.fixture(loop_scope="module")
async def pair(room: str, visitor: PersonFactory) -> tuple[Person, Person]:
    """Ada and Bob in a call."""
    ada, bob = await visitor("Ada"), await visitor("Bob", color_scheme="dark")
    await asyncio.gather(ada.join(room), bob.join(room))
    await asyncio.gather(ada.sees_others(1), bob.sees_others(1))
    return ada, bob


async def others_video(person: Person) -> bool:
    """Whether the other's tile shows a moving picture."""
    return bool(await person.sees())


async def test_muting_and_stopping_the_camera_show_to_the_other(pair: tuple[Person, Person]) -> None:
    ada, bob = pair
    boxes = "[...document.querySelectorAll('turnd-tile')].map(tile => tile.getAttribute('style'))"
    before = await bob.browser.evaluate(boxes)
    await ada.browser.click('[data-action="microphone"]')
    await ada.browser.click('[data-action="camera"]')

    async def off() -> bool:
        return not await others_video(bob) and await bob.browser.evaluate(
            "document.querySelector('turnd-call').call.store.state.participants.every(p => !p.microphone && !p.camera)"
        )

    await until("Bob sees that Ada is muted and dark", off, 5)
    assert await bob.browser.evaluate(boxes) == before  # nobody's tile moves for it
    await picture(bob, "call-camera-off-dark")
    await ada.browser.click('[data-action="microphone"]')
    await ada.browser.click('[data-action="camera"]')
    await bob.sees_others(1)
    assert await bob.moving(1)


async def test_a_browser_is_not_disturbed_by_the_url_of_dtls(house: Daemon, room: str, visitor: PersonFactory) -> None:
    ada = await visitor("Ada")
    await ada.browser.open(room)
    secret = StateDirectory(house.folder / "state").turn_secret()
    username, credential = rest_credentials(secret, "ada", 600, time.time())
    urls = turn_urls(HOST, TURN_PORT, [TURNS_PORT], dtls_port=TURNS_PORT)
    servers = json.dumps([{"urls": urls, "username": username, "credential": credential}])
    gathered = await ada.browser.evaluate(
        f"""async () => {{
            const connection = new RTCPeerConnection({{ iceTransportPolicy: "relay", iceServers: {servers} }});
            connection.createDataChannel("any");
            const types = [];
            const all = new Promise((done) => {{
              connection.onicecandidate = ({{ candidate }}) => (candidate ? types.push(candidate.type) : done());
            }});
            await connection.setLocalDescription();
            await all;
            connection.close();
            return types;
        }}"""
    )
    assert set(gathered) == {"relay"}


async def test_screens_are_shared_beside_the_camera(
    pair: tuple[Person, Person], visitor: PersonFactory, room: str
) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="share"]')

    async def both() -> bool:
        return {video["source"] for video in await bob.sees()} == {"camera", "screen"}

    await until("Bob sees Ada's camera and screen", both, 15)
    await picture(bob, "call-share-dark")
    await picture(ada, "call-sharing-light")
    await several_shares(bob, await visitor("Zoé"), room)
    await ada.browser.click('[data-action="stop-share"]')

    async def camera_alone() -> bool:
        return {video["source"] for video in await bob.sees()} == {"camera"}

    await until("the share is gone", camera_alone, 5)


async def several_shares(sharer: Person, viewer: Person, room: str) -> None:
    """Two at once are both large; one can be made the large one; and people can be looked at instead."""
    await sharer.browser.click('[data-action="share"]')
    await viewer.join(room)
    large = "[...document.querySelectorAll('turnd-tile.is-large.has-picture')].map(tile => tile.dataset.source)"

    async def shows(*sources: str) -> None:
        async def probe() -> bool:
            return await viewer.browser.evaluate(large) == list(sources)

        await until(f"large: {sources}", probe, 15)

    await shows("screen", "screen")
    await picture(viewer, "call-shares-light")
    await viewer.browser.click("turnd-tile.is-large [data-action='pin']")
    await shows("screen")
    await viewer.browser.click("turnd-tile.is-large [data-action='pin']")
    await shows("screen", "screen")
    await viewer.browser.click('[data-action="view"]')
    await shows()
    await sharer.browser.click('[data-action="stop-share"]')


async def test_chat_reaches_everybody_and_late_joiners(
    pair: tuple[Person, Person], visitor: PersonFactory, room: str
) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="chat"]')
    await ada.browser.fill('[data-field="message"]', "Bonjour <b>Bob</b> & co")
    await ada.browser.click('[data-action="send"]')
    texts = "[...document.querySelectorAll('.chat-text')].map(e => e.textContent)"

    async def unread() -> bool:
        return await bob.browser.evaluate("document.querySelector('turnd-call').call.store.state.unread") == 1

    await until("Bob has one unread message", unread, 5)
    await picture(bob, "call-unread-dark")
    late = await visitor("Zoé", **PHONE)
    await late.join(room)
    await late.sees_others(2)
    await picture(late, "call-phone-light")
    for one in (bob, late):
        await one.browser.click('[data-action="chat"]')
        assert await one.browser.evaluate(texts) == ["Bonjour <b>Bob</b> & co"]
        await picture(one, f"chat-{'phone-light' if one is late else 'dark'}")


async def test_joining_without_devices_never_asks_for_them(
    pair: tuple[Person, Person], visitor: PersonFactory, room: str
) -> None:
    listener = await visitor("Léa")
    await listener.browser.page.add_init_script(  # type: ignore[attr-defined]
        "window.asked = 0; const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = (...options) => { window.asked += 1; return ask(...options); };"
    )
    await listener.join(room, "join-silently")
    await listener.sees_others(2)
    assert await listener.browser.evaluate("window.asked") == 0
    assert await listener.browser.evaluate("document.querySelector('turnd-call').call.publishConnection") is None


async def words(person: Person, selector: str, pattern: str) -> str:
    """The text there, once it fits."""

    async def probe() -> str:
        text = await person.browser.evaluate(f"document.querySelector({selector!r}).textContent")
        return text if re.search(pattern, text) else ""

    return str(await until(f"{selector} says {pattern}", probe, 10))


async def test_the_bars_of_a_tile_say_what_comes_and_why(pair: tuple[Person, Person]) -> None:
    for person, scheme in zip(pair, ("light", "dark"), strict=True):
        await person.browser.resize(600, 700)  # where the middle layer is enough
        await person.browser.click("turnd-tile:not(.is-self) [data-action='quality']")
        await words(person, ".quality-picture", r"\d+×\d+, \d+ frames/s")
        await words(person, ".quality-reason", "As large as shown here: more would not be seen.")
        await words(person, '[data-figure="sending"]', r"^\d\S*\skB/s$")
        await words(person, '[data-figure="receiving"]', r"^\d\S*\skB/s")
        await words(person, '[data-figure="lost"]', r"^\S+\s% in, \S+\s% out$")
        await words(person, '[data-figure="delay"]', r"^\d+\sms$")
        await words(person, '[data-figure="way"]', "^Direct, UDP$")
        await picture(person, f"quality-{scheme}")
        await person.browser.page.keyboard.press("Escape")  # type: ignore[attr-defined]
        await person.browser.resize(390, 844)
        await person.browser.click(".is-self [data-action='quality']")
        await words(person, '[data-figure="sending"]', "kB/s")
        await picture(person, f"quality-own-phone-{scheme}")


async def test_leaving_removes_the_tile_and_rejoining_brings_it_back(pair: tuple[Person, Person]) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="leave"]')
    tiles = "document.querySelectorAll('turnd-tile').length"

    async def alone() -> bool:
        return await bob.browser.evaluate(tiles) == 1

    await until("Bob is alone", alone, 5)
    await picture(bob, "call-alone-dark")
    await picture(ada, "ended-light")
    await ada.browser.click('[data-action="rejoin"]')
    await ada.browser.click('[data-action="join"]')
    await bob.sees_others(1)


async def test_a_room_password_is_asked_for(room: str, visitor: PersonFactory) -> None:
    host = await visitor("Host")
    await host.browser.open(room)
    await host.browser.fill('[data-field="name"]', "Host")
    await host.browser.click("turnd-lobby summary")
    await host.browser.fill('[data-field="password"]', "sésame")
    await host.browser.click('[data-action="join"]')
    guest = await visitor("Guest", locale="fr-FR")
    await guest.join(room)
    await guest.browser.fill('[data-field="room-password"]', "wrong")
    await picture(guest, "password-fr-light")
    await guest.browser.click('[data-action="password-join"]')
    await guest.browser.fill('[data-field="room-password"]', "sésame")
    await guest.browser.click('[data-action="password-join"]')
    await asyncio.gather(host.sees_others(1), guest.sees_others(1))

    # Where too many guess, who knows it waits too, and is told why.
    page = guest.browser.page  # type: ignore[attr-defined]
    await guest.browser.click('[data-action="leave"]')
    await guest.browser.click('[data-action="rejoin"]')
    await page.evaluate(GUESS, room)
    await guest.browser.click('[data-action="join"]')
    waiting = await page.wait_for_selector('[data-banner="waiting"]', state="visible")
    assert "tentatives" in await waiting.inner_text()
    await picture(guest, "crowded-fr-light")


async def test_nothing_is_loaded_from_elsewhere(room: str, visitor: PersonFactory) -> None:
    one = await visitor("Ada")
    requests: list[str] = []
    page = one.browser.page  # type: ignore[attr-defined]
    page.on("request", lambda request: requests.append(request.url))
    await one.browser.open(PAGE + "/")
    await one.join(room)
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    assert requests
    assert {url.split("/")[2] for url in requests if not url.startswith(("data:", "blob:"))} == {f"{HOST}:{PORT}"}
    assert not [line for line in one.browser.console if "Content Security Policy" in line or "pageerror" in line]


async def test_pictures_of_home_and_lobby(room: str, visitor: PersonFactory) -> None:
    for size, options in (("desktop", {}), ("phone", PHONE)):
        one = await visitor(size, locale="fr-FR", **options)
        page = one.browser.page  # type: ignore[attr-defined]
        for what, url, action in (("home", PAGE + "/", "open"), ("lobby", room, "join")):
            await one.browser.open(url)
            await page.wait_for_selector(f'[data-action="{action}"]')
            await both_themes(one, f"{what}-{size}-fr")
