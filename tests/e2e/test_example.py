"""`/assets/example.html`: protocol.js alone is enough for a client; it meets one of the page in a room."""

from __future__ import annotations

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, picture

pytestmark = pytest.mark.browser

HEARD = """async () => {
  let samples = 0;
  for (const connection of made)
    for (const entry of (await connection.getStats()).values())
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio' && entry.packetsReceived)
        samples += entry.totalSamplesReceived ?? 0;
  return samples;
}"""
KEEP = """(() => {
  window.made = [];
  const Original = RTCPeerConnection;
  window.RTCPeerConnection = class extends Original { constructor(...all) { super(...all); made.push(this); } };
})()"""


async def test_the_example_page_sees_who_is_there_and_is_seen_and_heard(
    loopback: Daemon, person: PersonFactory
) -> None:
    example, ada = await person("Example", Chromium), await person("Ada", Chromium)
    await ada.join(f"{PAGE}/r/for-example")
    await example.browser.page.add_init_script(KEEP)  # type: ignore[attr-defined]
    await example.browser.open(f"{PAGE}/assets/example.html?room=for-example")
    await example.browser.click("button")
    await ada.sees_others(1)
    names = "[...document.querySelectorAll('li')].map((one) => one.textContent)"

    async def knows_ada() -> bool:
        return bool(await example.browser.evaluate(names) == ["Ada"])

    await until("the example knows Ada", knows_ada, 10)
    await until("the example hears Ada", lambda: example.browser.evaluate(HEARD), 10)
    await picture(example, "example")
    await ada.browser.click('[data-action="leave"]')
    await until("the example sees Ada go", lambda: example.browser.evaluate(f"{names}.length === 0"), 10)
