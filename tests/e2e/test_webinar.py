"""A webinar on the page: a viewer on a phone is brought to the stage and sent back, in the seat they came to."""

from __future__ import annotations

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE, both_themes, picture

pytestmark = pytest.mark.browser
ROOM = f"{PAGE}/r/hall?webinar"
CALL = "document.querySelector('turnd-call').call"
# The colour in the middle of the other's video, as it is painted.
COLOUR = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  canvas.drawImage(document.querySelector('turnd-tile:not(.is-self) video'), 0, 0, 1, 1);
  return Math.max(...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


async def sees_picture(person: Person) -> None:
    """Awaits that one other is seen and heard, moves, and is not black."""
    await person.sees_others(1)
    assert await person.moving(1)
    assert await person.browser.evaluate(COLOUR) > 32


async def test_a_viewer_is_brought_to_the_stage_and_sent_back_without_joining_again(
    loopback: Daemon, person: PersonFactory
) -> None:
    ada, bob = await person("Ada", Chromium), await person("Bob", Chromium, **PHONE)
    await ada.join(ROOM)
    for device in ("microphone", "camera"):  # off until who opened the room turns them on
        await ada.browser.click(f'[data-action="{device}"]')
    await until("Ada is on the stage", ada.outbound, 10)
    await bob.join(ROOM)
    await sees_picture(bob)
    assert await ada.sees() == []
    await bob.browser.evaluate(f"window.kept = {CALL}.subscribeConnection")
    seat = await bob.browser.evaluate(f"{CALL}.store.state.self")

    async def same_seat(*, speaks: bool) -> None:
        assert await bob.browser.evaluate(f"({CALL}.publishConnection !== null)") is speaks
        assert await bob.browser.evaluate(f"window.kept === {CALL}.subscribeConnection")
        assert await bob.browser.evaluate(f"{CALL}.store.state.self") == seat
        assert (await loopback.metrics())['turnd_joins_total{result="ok"}'] == 2

    await same_seat(speaks=False)
    await ada.browser.click('[data-action="people"]')
    await picture(ada, "webinar-people-light")
    await ada.browser.click('[data-action="bring"]')
    await bob.browser.page.wait_for_selector("turnd-invitation:not([hidden])")  # type: ignore[attr-defined]
    assert not await bob.browser.evaluate(f"{CALL}.publishConnection")  # no device before the answer
    await both_themes(bob, "webinar-invitation-phone")
    await bob.browser.click('[data-action="accept-camera"]')
    await sees_picture(ada)
    await sees_picture(bob)
    await same_seat(speaks=True)
    await both_themes(bob, "webinar-speaker-phone")

    await ada.browser.click('.people-item:has-text("Bob") [data-action="person-menu"]')
    await ada.browser.click('.menu [data-action="send-back"]')

    async def gone() -> bool:
        return await ada.sees() == [] and not await bob.browser.evaluate(f"{CALL}.publishConnection")

    await until("Bob is in the audience again", gone, 10)
    await sees_picture(bob)
    await same_seat(speaks=False)
    await picture(bob, "webinar-viewer-phone-dark")
