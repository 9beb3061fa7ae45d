"""A room in a frame of another site: what its page may ask and is told, and what other sites get."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.browsers import Chromium
from tests.e2e.call import until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import HOST, PAGE, PORT, loopback_daemon, picture

pytestmark = pytest.mark.browser

SITE, OTHER_SITE = f"http://{HOST}:{PORT + 10}", f"http://{HOST}:{PORT + 11}"
ROOM = f"{PAGE}/r/embedded-room"
EMBEDDER = f"""<!doctype html><title>A site of somebody else</title>
<h1>Our club</h1>
<iframe src="{ROOM}" allow="camera; microphone; display-capture" style="width: 100%; height: 600px; border: 0"></iframe>
<script>
  window.told = [];
  const room = document.querySelector("iframe");
  addEventListener("message", ({{ origin, source, data }}) => {{
    if (origin === "{PAGE}" && source === room.contentWindow) told.push(data);
  }});
  window.ask = (command) => room.contentWindow.postMessage({{ turnd: 1, ...command }}, "{PAGE}");
</script>"""


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with loopback_daemon(tmp_path / "daemon", embed=[SITE]) as made:
        yield made


@pytest.fixture
async def sites() -> AsyncIterator[None]:
    """The same page at two origins."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=EMBEDDER, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    for site in (SITE, OTHER_SITE):
        await web.TCPSite(runner, HOST, int(site.rpartition(":")[2])).start()
    yield
    await runner.cleanup()


async def test_a_site_that_was_named_embeds_a_room_and_speaks_to_it(
    daemon: Daemon, sites: None, person: PersonFactory
) -> None:
    site, bob = await person("Site", Chromium), await person("Bob", Chromium)
    page: Any = site.browser.page  # type: ignore[attr-defined]

    async def told(event: str, **fields: object) -> None:
        """Awaits that the last event of that name had these fields."""
        expression = f"told.findLast(({{ event }}) => event === '{event}')"

        async def probe() -> bool:
            last = await site.browser.evaluate(expression)
            return last is not None and fields.items() <= last.items()

        await until(f"{event} with {fields}", probe, 15)

    async def ask(command: str, **fields: object) -> None:
        await page.evaluate("(command) => ask(command)", {"command": command, **fields})

    await site.browser.open(SITE)
    await told("ready")
    await ask("join", name="Ada", microphone=True, camera=True, id=1)
    await told("done", id=1)
    await told("phase", phase="call")
    await told("camera", on=True)
    await bob.join(ROOM)
    await bob.sees_others(1)
    await told("participants", count=2)
    names = "document.querySelector('turnd-call').call.store.state.participants.map(({name}) => name)"
    assert await bob.browser.evaluate(names) == ["Ada"]
    room = next(frame for frame in page.frames if frame.url.startswith(ROOM))
    assert await room.locator('[data-action="invite"]').count() >= 1
    assert not await room.locator(".header-invite").is_visible()
    await picture(site, "embedded")
    await ask("camera", on=False)
    await told("camera", on=False)

    async def dark() -> bool:
        return not await bob.sees()

    await until("Bob sees no picture of Ada", dark, 10)
    await ask("panel", panel="chat")
    await room.wait_for_selector('[data-field="message"]')
    await ask("language", language="fr")
    await ask("theme", theme="contrast", id=2)
    await told("done", id=2)
    looks = "() => [document.documentElement.lang, document.documentElement.dataset.theme]"
    assert await room.evaluate(looks) == ["fr", "contrast"]
    await picture(site, "embedded-contrast-french")
    await ask("microphone", on="please")
    await told("error", code="malformed")
    await ask("leave")
    await told("phase", phase="ended", reason="left")
    await until("Bob is alone", lambda: bob.browser.evaluate(f"{names}.length === 0"), 10)
    await site.browser.open(OTHER_SITE)
    assert await site.browser.evaluate("told.length") == 0
    assert not any(frame.url.startswith(ROOM) for frame in page.frames), "a site that was not named shows a room"
