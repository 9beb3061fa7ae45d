"""Files through the room, from browser to browser: the ways in, cancelling, taking away; 500 MB through a power cut."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE, both_themes, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
ROOMS = itertools.count(1)
CALL = "document.querySelector('turnd-call').call"
MEGABYTE = 1_000_000


async def come(person: Person, url: str) -> Any:
    """Joins without devices, which nothing here needs, and opens the chat; the page."""
    page = person.browser.page  # type: ignore[attr-defined]
    await person.join(url, "join-silently")
    await page.wait_for_selector('turnd-call[data-phase="call"]')
    await person.browser.click('[data-action="chat"]')
    return page


def write_file(path: Path, megabytes: int) -> str:
    """A file of so many megabytes, each of them another; its SHA-256."""
    body, digest = os.urandom(MEGABYTE - 8), hashlib.sha256()
    with path.open("wb") as file:
        for number in range(megabytes):
            for part in (number.to_bytes(8, "big"), body):
                file.write(part)
                digest.update(part)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def download(page: Any, name: str) -> str:
    """Presses the button of that file; the SHA-256 of what comes."""
    async with page.expect_download(timeout=60_000) as started:
        await page.click(f'[data-file]:has-text("{name}") [data-action="download"]')
    made = await started.value
    assert made.suggested_filename.endswith(Path(name).suffix)
    return await asyncio.to_thread(digest_of, Path(await made.path()))


async def holds(page: Any, condition: str, seconds: float = 20) -> None:
    """Awaits that a condition holds in the page."""
    await until(condition, lambda: page.evaluate(condition), seconds)


async def files_shown(page: Any, count: int) -> None:
    """Awaits so many files that can be had, and that nothing of ours is on its way."""
    shown = f"document.querySelectorAll('[data-file] [data-action=\"download\"]').length === {count}"
    await holds(page, f"{shown} && !document.querySelector('[data-upload]')")


# What somebody drags over the page, and drops or not; and what they paste.
TRANSFER = "const data = new DataTransfer(); data.items.add(new File([%s], '%s', {type: 'text/plain'}));"
DRAG = """() => { %s
  document.body.dispatchEvent(new DragEvent('%s', {dataTransfer: data, bubbles: true, cancelable: true})); }"""
PASTE = """() => { %s
  document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true})); }"""


async def test_files_are_dropped_pasted_chosen_cancelled_and_taken_away(
    house: Daemon, visitor: PersonFactory, tmp_path: Path
) -> None:
    room = f"{PAGE}/r/files-{next(ROOMS)}"
    ada, bob = await visitor("Ada", locale="fr-FR"), await visitor("Bob", **PHONE)
    page, phone = await come(ada, room), await come(bob, room)

    # Three ways in; nothing goes before Send.
    dropped = TRANSFER % (
        "'dropped'",
        "Compte rendu de la réunion du comité directeur du 12 novembre (version finale).txt",
    )
    await page.evaluate(DRAG % (dropped, "dragenter"))
    await page.wait_for_selector("turnd-drop:not([hidden])")
    await both_themes(ada, "files-drag-fr")
    await page.evaluate(DRAG % (dropped, "drop"))
    await page.wait_for_selector("turnd-drop", state="hidden")
    await page.evaluate(PASTE % (TRANSFER % ("'pasted'", "image.png")))
    small = tmp_path / "Été à Évian.bin"
    digest = write_file(small, 1)
    await page.set_input_files('[data-field="files"]', small)
    await holds(page, "document.querySelectorAll('.chat-attachments li').length === 3")
    await both_themes(ada, "files-ready-fr")
    assert await phone.locator("[data-file]").count() == 0
    await page.fill('[data-field="message"]', "Voici les documents.")
    await page.keyboard.press("Enter")
    for one in page, phone:
        await files_shown(one, 3)
    assert await download(phone, "Évian.bin") == digest
    await both_themes(bob, "files-phone")
    await both_themes(ada, "files-fr")

    # To one alone: who comes later does not see it.
    await page.select_option('[data-field="receiver"]', label="Bob")
    await page.set_input_files(
        '[data-field="files"]', {"name": "secret.txt", "mimeType": "text/plain", "buffer": b"psst"}
    )
    await page.click('[data-action="send"]')
    await files_shown(phone, 4)
    late = await visitor("Zoé")
    late_page = await come(late, room)
    await files_shown(late_page, 3)
    assert await download(phone, "secret.txt") == hashlib.sha256(b"psst").hexdigest()

    # A large one on a slow line, cancelled on the way.
    line = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2 * MEGABYTE}
    await line.send("Network.emulateNetworkConditions", slow)
    large = tmp_path / "film.mp4"
    write_file(large, 30)
    await page.set_input_files('[data-field="files"]', large)
    await page.click('[data-action="send"]')
    sent = f"{CALL}.store.state.uploads[0]?.sent ?? 0"
    await holds(page, f"({sent}) > {MEGABYTE}")
    await both_themes(ada, "files-sending-fr")
    await page.click('[data-action="cancel-upload"]')
    await page.wait_for_selector("[data-upload]", state="detached")
    await line.detach()

    async def given_up() -> bool:
        return (await house.metrics()).get('turnd_uploads_total{result="cancelled"}', 0) == 1

    await until("the server has thrown it away", given_up, 10)

    # Taken away, for everybody and for who comes later; then the right to send any.
    await page.click('[data-file]:has-text("secret.txt") [data-action="delete-file"]')
    await files_shown(page, 3)
    await files_shown(phone, 3)
    await phone.wait_for_selector('.file-card.is-gone:has-text("secret")')
    await picture(bob, "files-gone-phone-dark")
    await page.evaluate(f"{CALL}.room.changeRules({{rights: {{files: false}}}})")
    await phone.wait_for_selector('[data-action="attach"]', state="hidden")


def own_kilobytes(pid: int) -> int:
    """Memory of a process that is its own and no file's; 0 when it has ended."""
    try:
        fields = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(fields.get(name, "0").split()[0]) for name in ("RssAnon", "RssShmem"))


async def test_half_a_gigabyte_comes_through_a_power_cut_in_little_memory(
    house: Daemon, chromium: Chromium, visitor: PersonFactory, tmp_path: Path
) -> None:
    room = f"{PAGE}/r/files-{next(ROOMS)}"
    large = tmp_path / "archive.zip"
    digest = await asyncio.to_thread(write_file, large, 500)
    ada, bob = await visitor("Ada"), await visitor("Bob")
    page, other = await come(ada, room), await come(bob, room)
    await page.fill('[data-field="message"]', "before")
    await page.keyboard.press("Enter")
    await other.wait_for_selector('.chat-text:has-text("before")')
    session = await chromium._browser.new_browser_cdp_session()  # type: ignore[attr-defined]
    processes = [one["id"] for one in (await session.send("SystemInfo.getProcessInfo"))["processInfo"]]
    metrics = await page.context.new_cdp_session(page)
    await metrics.send("Performance.enable")

    async def heap() -> float:
        values = (await metrics.send("Performance.getMetrics"))["metrics"]
        return float(next(each["value"] for each in values if each["name"] == "JSHeapUsedSize")) / MEGABYTE

    def memory() -> dict[str, float]:
        assert house.process
        browsers = sum(own_kilobytes(pid) for pid in processes)
        return {"browsers": browsers / 1000, "daemon": own_kilobytes(house.process.pid) / 1000}

    before, most = {**memory(), "heap": await heap()}, dict[str, float]()
    upload = f"{CALL}.store.state.uploads[0]"

    async def watch(what: str, condition: str, seconds: float) -> float:
        """Until the condition holds; notes the most memory that anybody took meanwhile."""
        began = time.monotonic()

        async def probe() -> bool:
            for name, value in {**memory(), "heap": await heap()}.items():
                most[name] = max(most.get(name, 0), value)
            return bool(await page.evaluate(condition))

        await until(what, probe, seconds)
        return time.monotonic() - began

    await page.set_input_files('[data-field="files"]', large)
    await page.click('[data-action="send"]')
    first = await watch("a third has gone", f"({upload}?.sent ?? 0) > {170 * MEGABYTE}", 30)
    await house.kill()
    await page.wait_for_selector('[data-upload="waiting"]')
    await page.fill('[data-field="message"]', "meanwhile")
    await page.keyboard.press("Enter")
    await picture(ada, "files-waiting-light")
    await house.start()
    gone_on = f"({upload}?.phase === 'sending' && {upload}.sent > {100 * MEGABYTE}) || !{upload}"
    wait = await watch("it goes on", gone_on, 15)
    rest = await watch("all has gone", f"!{upload}", 60)
    again = (await house.metrics())['turnd_files_bytes_total{direction="in"}'] / MEGABYTE
    assert again < 350  # what had come before the power cut did not come twice

    # Both were told once, and who comes now reads all of it.
    late = await come(await visitor("Zoé"), room)
    for one in page, other, late:
        await files_shown(one, 1)
        assert await one.locator(".chat-text").all_inner_texts() == ["before", "meanwhile"]
    began = time.monotonic()
    assert await download(other, "archive.zip") == digest
    figures = {name: f"{before[name]:.0f} -> {most[name]:.0f} MB" for name in most}
    print(
        "memory",
        figures,
        f"again {again:.0f} MB, up {first:.1f} + {wait:.1f} + {rest:.1f} s, down {time.monotonic() - began:.1f} s",
    )
    assert most["daemon"] - before["daemon"] < 25, figures
    assert most["browsers"] - before["browsers"] < 80, figures
    assert most["heap"] - before["heap"] < 10, figures
