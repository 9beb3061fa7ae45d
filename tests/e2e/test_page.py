"""What people do on the page, in real browsers with the real daemon; and pictures of every view to look at."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import SCREENSHOTS, PersonFactory
from tests.e2e.daemon import Daemon
from turnd.ice_servers import turn_urls
from turnd.state import StateDirectory
from turnd.turn.credentials import rest_credentials

pytestmark = pytest.mark.browser
HOST = "127.0.0.1"
PORT = 45080
PAGE = f"http://{HOST}:{PORT}"
ROOM = f"{PAGE}/r/page-room"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
SHARE = ["--auto-select-desktop-capture-source=Entire screen"]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """The daemon on loopback, on ports of this test."""
    made = Daemon(
        tmp_path / "daemon",
        http={"listen": f"{HOST}:{PORT}", "tls_listen": f"{HOST}:45443"},
        turn={"listen": [HOST], "port": 45478, "tls_port": 45349, "relay_ports": [45001, 45079]},
        sfu={"port": 45000},
        metrics={"listen": f"{HOST}:45641"},
    )
    await made.start()
    yield made
    await made.kill()


def tile(name: str) -> str:
    """The tile of somebody else, by name."""
    return f'turnd-tile:not(.is-self):has-text("{name}")'


async def picture(person: Person, name: str) -> None:
    """A screenshot to look at."""
    SCREENSHOTS.mkdir(exist_ok=True)
    await person.browser.screenshot(SCREENSHOTS / f"{name}.png")


@pytest.fixture
async def pair(daemon: Daemon, person: PersonFactory) -> tuple[Person, Person]:
    """Ada and Bob in a call."""
    ada = await person("Ada", Chromium, arguments=SHARE)
    bob = await person("Bob", Chromium, color_scheme="dark")
    await asyncio.gather(ada.join(ROOM), bob.join(ROOM))
    await asyncio.gather(ada.sees_others(1), bob.sees_others(1))
    return ada, bob


async def others_video(person: Person) -> bool:
    """Whether the other's tile shows a moving picture."""
    return bool(await person.sees())


async def test_muting_and_stopping_the_camera_show_to_the_other(pair: tuple[Person, Person]) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="microphone"]')
    await ada.browser.click('[data-action="camera"]')

    async def off() -> bool:
        return not await others_video(bob) and await bob.browser.evaluate(
            "document.querySelector('turnd-call').call.store.state.participants.every(p => !p.microphone && !p.camera)"
        )

    await until("Bob sees that Ada is muted and dark", off, 5)
    await picture(bob, "call-camera-off-dark")
    await ada.browser.click('[data-action="microphone"]')
    await ada.browser.click('[data-action="camera"]')
    await bob.sees_others(1)
    assert await bob.moving(1)


async def test_a_browser_is_not_disturbed_by_the_url_of_dtls(daemon: Daemon, person: PersonFactory) -> None:
    ada = await person("Ada", Chromium)
    await ada.browser.open(ROOM)
    secret = StateDirectory(daemon.folder / "state").turn_secret()
    username, credential = rest_credentials(secret, "ada", 600, time.time())
    urls = turn_urls(HOST, 45478, [45349], dtls_port=45349)
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


async def test_a_screen_is_shared_beside_the_camera(pair: tuple[Person, Person]) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="share"]')

    async def both() -> bool:
        return {video["source"] for video in await bob.sees()} == {"camera", "screen"}

    await until("Bob sees Ada's camera and screen", both, 15)
    await picture(bob, "call-share-dark")
    await picture(ada, "call-sharing-light")
    await ada.browser.click('[data-action="stop-share"]')

    async def camera_alone() -> bool:
        return {video["source"] for video in await bob.sees()} == {"camera"}

    await until("the share is gone", camera_alone, 5)


async def test_chat_reaches_everybody_and_late_joiners(pair: tuple[Person, Person], person: PersonFactory) -> None:
    ada, bob = pair
    await ada.browser.click('[data-action="chat"]')
    await ada.browser.fill('[data-field="message"]', "Bonjour <b>Bob</b> & co")
    await ada.browser.click('[data-action="send"]')
    texts = "[...document.querySelectorAll('.chat-text')].map(e => e.textContent)"

    async def unread() -> bool:
        return await bob.browser.evaluate("document.querySelector('turnd-call').call.store.state.unread") == 1

    await until("Bob has one unread message", unread, 5)
    await picture(bob, "call-unread-dark")
    late = await person("Zoé", Chromium, **PHONE)
    await late.join(ROOM)
    await late.sees_others(2)
    await picture(late, "call-phone-light")
    for one in (bob, late):
        await one.browser.click('[data-action="chat"]')
        assert await one.browser.evaluate(texts) == ["Bonjour <b>Bob</b> & co"]
        await picture(one, f"chat-{'phone-light' if one is late else 'dark'}")


async def test_joining_without_devices_never_asks_for_them(pair: tuple[Person, Person], person: PersonFactory) -> None:
    listener = await person("Léa", Chromium)
    await listener.browser.page.add_init_script(  # type: ignore[attr-defined]
        "window.asked = 0; const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = (...options) => { window.asked += 1; return ask(...options); };"
    )
    await listener.browser.open(ROOM)
    await listener.browser.fill('[data-field="name"]', "Léa")
    await listener.browser.click('[data-action="join-silently"]')
    await listener.sees_others(2)
    assert await listener.browser.evaluate("window.asked") == 0
    assert await listener.browser.evaluate("document.querySelector('turnd-call').call.publishConnection") is None


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


async def test_a_room_password_is_asked_for(daemon: Daemon, person: PersonFactory) -> None:
    host = await person("Host", Chromium)
    await host.browser.open(ROOM)
    await host.browser.fill('[data-field="name"]', "Host")
    await host.browser.click("turnd-lobby summary")
    await host.browser.fill('[data-field="password"]', "sésame")
    await host.browser.click('[data-action="join"]')
    guest = await person("Guest", Chromium, locale="fr-FR")
    await guest.join(ROOM)
    await guest.browser.fill('[data-field="room-password"]', "wrong")
    await picture(guest, "password-fr-light")
    await guest.browser.click('[data-action="password-join"]')
    await guest.browser.fill('[data-field="room-password"]', "sésame")
    await guest.browser.click('[data-action="password-join"]')
    await asyncio.gather(host.sees_others(1), guest.sees_others(1))


async def test_nothing_is_loaded_from_elsewhere(daemon: Daemon, person: PersonFactory) -> None:
    one = await person("Ada", Chromium)
    requests: list[str] = []
    page = one.browser.page  # type: ignore[attr-defined]
    page.on("request", lambda request: requests.append(request.url))
    await one.browser.open(PAGE + "/")
    await one.join(ROOM)
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    assert requests
    assert {url.split("/")[2] for url in requests if not url.startswith(("data:", "blob:"))} == {f"{HOST}:{PORT}"}
    assert not [line for line in one.browser.console if "Content Security Policy" in line or "pageerror" in line]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_pictures_of_home_and_lobby(daemon: Daemon, person: PersonFactory, scheme: str) -> None:
    for size, options in (("desktop", {}), ("phone", PHONE)):
        one = await person(size, Chromium, color_scheme=scheme, locale="fr-FR", **options)
        await one.browser.open(PAGE + "/")
        await one.browser.page.wait_for_selector('[data-action="open"]')  # type: ignore[attr-defined]
        await picture(one, f"home-{size}-fr-{scheme}")
        await one.browser.open(ROOM)
        await one.browser.page.wait_for_selector('[data-action="join"]')  # type: ignore[attr-defined]
        await picture(one, f"lobby-{size}-fr-{scheme}")
