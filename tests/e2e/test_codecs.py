"""Each codec of each browser, sent to each: pictures follow the size they are shown at, and no larger ones are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, Scene

pytestmark = [
    pytest.mark.browser,
    pytest.mark.alone,
    pytest.mark.netns,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("kept"),
]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/"
USUAL, LARGE, SMALL = (1280, 800), (1920, 1200), (320, 480)
QUARTER = 320  # a quarter of the camera is wide enough for the small window
BEST = ("", "f")  # the rid of a single stream, and of the best of several
PATIENCE_SECONDS = 25  # of a machine that has better things to do; on a quiet one each wait is for a second or three
Engine = type[Chromium] | type[Firefox]


async def sending(person: Person) -> list[dict[str, Any]]:
    """The video encodings of which something leaves now, and those that say they are active."""
    before = {each["rid"]: each["bytes"] for each in await person.outbound() if each["kind"] == "video"}
    await asyncio.sleep(0.5)
    videos = [each for each in await person.outbound() if each["kind"] == "video"]
    return [each for each in videos if each["bytes"] > before.get(each["rid"], 0) or each["active"]]


async def shown_width(receiver: Person) -> int:
    """How wide the picture of the other one is that this person decodes."""
    (video,) = await receiver.sees()
    return int(video["width"])


async def small(sender: Person, receiver: Person) -> bool:
    """Nothing but a small picture leaves the one, and the other shows it."""
    widths = [each["width"] for each in await sending(sender)]
    return await shown_width(receiver) in widths and max(widths) <= QUARTER


async def large(sender: Person, receiver: Person) -> bool:
    """The best that the browser makes of its camera is sent and shown: less than all of it where time is short."""
    widths = [each["width"] for each in await sending(sender) if each["rid"] in BEST]
    width = await shown_width(receiver)
    return width in widths and width > QUARTER


async def both(one: Person, other: Person, size: tuple[int, int]) -> None:
    """Both windows get that size; awaits that both pictures and what is sent follow."""
    await asyncio.gather(*(person.browser.resize(*size) for person in (one, other)))
    fits = small if size == SMALL else large

    async def follows(sender: Person, receiver: Person) -> None:
        what = f"{receiver.name} sees {sender.name} {fits.__name__}"
        try:
            await until(what, lambda: fits(sender, receiver), PATIENCE_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; {await sender.situation()}; {await receiver.situation()}") from None

    await asyncio.gather(follows(one, other), follows(other, one))


async def of_codec(person: Person, codec: str) -> None:
    """The person sends that codec and no other."""
    videos = [each for each in await sending(person) if each["bytes"]]
    assert {each["codec"].lower() for each in videos} == {f"video/{codec}"}, videos


@pytest.mark.parametrize(
    ("codec", "first", "second"),
    [
        ("vp8", Chromium, Firefox),
        ("vp9", Chromium, Firefox),
        ("av1", Chromium, Chromium),  # with dependency descriptors
        ("av1", Chromium, Firefox),  # without
        ("h264", Chromium, Chromium),
    ],
)
async def test_what_is_sent_and_seen_follows_the_size_it_is_shown_at(
    scene: Scene, codec: str, first: Engine, second: Engine
) -> None:
    ann, bob = await scene.person("Ann", first, "a"), await scene.person("Bob", second, "b")
    await asyncio.gather(*(one.browser.resize(*USUAL) for one in (ann, bob)))
    room = f"{ROOM}{codec}-{first.name}-{second.name}"
    await ann.join(f"{room}?video={codec}")
    await until("the room is there", ann.outbound, PATIENCE_SECONDS)
    await bob.join(room)
    await asyncio.gather(*(one.sees_others(1, PATIENCE_SECONDS) for one in (ann, bob)))
    for size in (SMALL, LARGE):
        await both(ann, bob, size)
    await asyncio.gather(of_codec(ann, codec), of_codec(bob, codec))
    assert await asyncio.gather(ann.moving(1), bob.moving(1)) == [True, True]
