"""A film from somebody's disk is played to everybody; a sound too; and a small window above all others."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import SCREENSHOTS, PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE, both_themes, hide

pytestmark = [pytest.mark.browser, pytest.mark.alone]
ROOM = f"{PAGE}/r/cinema"
CALL = "document.querySelector('turnd-call').call"
SECONDS = 20
SOURCES = f"{CALL}.subscriber.slots.map(slot => slot.source)"


def make_media(path: Path, *, picture: bool) -> Path:
    """A test card with a tone, or the tone alone."""
    card = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=15"] if picture else []
    tone = ["-f", "lavfi", "-i", "sine=frequency=440"]
    codecs = [*(["-c:v", "libvpx", "-b:v", "500k"] if picture else []), "-c:a", "libopus"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *card, *tone, "-t", str(SECONDS), *codecs, str(path)], check=True)
    return path


async def holds(person: Person, expression: str) -> None:
    """Awaits that this is true on their page."""
    await until(expression, lambda: person.browser.evaluate(expression), 10)


async def play(person: Person, path: Path) -> None:
    """Presses what plays a file, and chooses this one."""
    page = person.browser.page  # type: ignore[attr-defined]
    await person.browser.click('[data-action="more"]')
    async with page.expect_file_chooser() as chosen:
        await person.browser.click('[data-action="play-file"]')
    await (await chosen.value).set_files(path)
    await page.wait_for_selector('[data-banner="film"]')


async def sound_of_it(person: Person) -> Any:
    """How loud what is shared beside the microphone is."""
    return await person.browser.evaluate(
        f"""(async () => {{
            const track = {CALL}.subscriber.slots.filter(slot => slot.source === 'screen-audio')
              .map(slot => {CALL}.subscriber.track(slot.participant, slot.source))[0];
            const stats = [...(await {CALL}.subscribeConnection.getStats()).values()];
            return track && stats.find(each => each.trackIdentifier === track.id)?.audioLevel;
        }})()"""
    )


async def test_a_film_a_sound_and_a_small_window(loopback: Daemon, person: PersonFactory, tmp_path: Path) -> None:
    ada, bob = await person("Ada", Chromium), await person("Bob", Chromium, **PHONE)
    await ada.join(ROOM)
    await bob.join(ROOM)
    await bob.sees_others(1)
    await a_film(ada, bob, make_media(tmp_path / "Les vacances à Étretat.webm", picture=True))
    await a_sound(ada, bob, make_media(tmp_path / "cloche.ogg", picture=False))
    await what_is_no_film(ada, tmp_path)
    await a_small_window(bob, ada)


async def a_film(ada: Person, bob: Person, path: Path) -> None:
    """Seen and heard by the other while it plays, paused and moved in, gone when it is stopped."""
    await play(ada, path)

    async def cinema() -> bool:
        screens = [video for video in await bob.sees() if video["source"] == "screen"]
        return [video["width"] for video in screens] == [640] and (await sound_of_it(bob) or 0) > 0.01

    await until("Bob sees and hears the film", cinema, 15)
    page = ada.browser.page  # type: ignore[attr-defined]
    assert await ada.browser.evaluate("document.querySelector('[data-banner=sharing]').hidden")
    own = page.locator("turnd-tile.is-large")
    assert await own.locator(".tile-name").inner_text() == path.name
    await both_themes(ada, "film")
    await both_themes(bob, "film-phone-viewer")
    await ada.browser.click('[data-action="film-pause"]')
    assert await ada.browser.evaluate(f"{CALL}.film.element.paused")
    await page.fill('[data-action="film-position"]', "12")
    await holds(ada, f"{CALL}.film.element.currentTime === 12 && !{CALL}.film.element.seeking")
    assert await page.inner_text(".film-time") == f"0:12 / 0:{SECONDS}"
    await ada.browser.click('[data-action="film-pause"]')
    await until("Bob hears it again", lambda: sound_of_it(bob), 10)
    await ada.browser.click('[data-action="film-stop"]')
    await over(ada, bob)


async def over(ada: Person, bob: Person) -> None:
    """Nothing of it is left on either side."""

    async def gone() -> bool:
        screens = [video for video in await bob.sees() if video["source"] == "screen"]
        return not screens and not await bob.browser.evaluate(f"{CALL}.store.state.participants.some(p => p.screen)")

    await until("the film is over for Bob", gone, 10)
    assert await ada.browser.evaluate(f"{CALL}.film.element === null && {CALL}.store.state.film === null")
    assert await ada.browser.evaluate("document.querySelector('turnd-film').hidden")
    assert await ada.browser.evaluate(f"!{CALL}.media.track('screen') && !{CALL}.media.track('screen-audio')")


async def a_sound(ada: Person, bob: Person, path: Path) -> None:
    """Heard by the other, who sees its name; when it ends by itself it is over."""
    await play(ada, path)

    async def heard() -> bool:
        screens = [video for video in await bob.sees() if video["source"] == "screen"]
        return bool(screens) and (await sound_of_it(bob) or 0) > 0.01

    await until("Bob hears the sound and sees its name", heard, 15)
    await both_themes(bob, "film-sound-phone-viewer")
    await ada.browser.page.fill('[data-action="film-position"]', str(SECONDS - 0.5))  # type: ignore[attr-defined]
    await ada.browser.page.wait_for_selector('[data-banner="film"]', state="hidden")  # type: ignore[attr-defined]
    await over(ada, bob)


async def what_is_no_film(ada: Person, folder: Path) -> None:
    """It is said that this cannot be played."""
    path = folder / "letter.mp4"
    path.write_text("Dear all")
    page = ada.browser.page  # type: ignore[attr-defined]
    await ada.browser.click('[data-action="more"]')
    async with page.expect_file_chooser() as chosen:
        await ada.browser.click('[data-action="play-file"]')
    await (await chosen.value).set_files(path)
    await page.wait_for_selector('[data-banner="notice"]:not([hidden])')
    assert "letter.mp4" in await page.inner_text('[data-banner="notice"]')
    assert await page.evaluate("document.querySelector('turnd-film').hidden")


async def a_small_window(bob: Person, ada: Person) -> None:
    """It shows who else is there, mutes, and its picture is asked for while the page itself is hidden."""
    page = ada.browser.page  # type: ignore[attr-defined]
    await ada.browser.click('[data-action="more"]')
    async with page.context.expect_page() as opened:
        await ada.browser.click('[data-action="pip"]')
    window = await opened.value
    await window.wait_for_selector(".small-video:not([hidden])")
    assert await window.inner_text(".small-name") == "Bob"
    await window.screenshot(path=SCREENSHOTS / "small-window.png")
    await hide(page, hidden=True)
    assert await ada.moving(1)
    await hide(page, hidden=False)
    await window.click('[data-action="small-microphone"]')
    await holds(ada, f"{CALL}.store.state.microphone === 'off'")
    await window.close()
