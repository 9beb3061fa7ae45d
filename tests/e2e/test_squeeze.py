"""Somebody's link is squeezed to 300 kbit/s with a queue of 300 ms, and freed again; or it loses packets."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, PersonFactory
from tests.e2e.daemon import Daemon
from tests.e2e.network import Host, Switch
from tests.e2e.watching import Timeline, recorded, watch

pytestmark = [pytest.mark.browser, pytest.mark.alone, pytest.mark.netns]
ROOM = f"https://{DAEMON_ADDRESS}:8443/r/squeeze"
LARGE = {"viewport": {"width": 1920, "height": 1200}}  # three tiles in it are larger than 640 pixels: the top layer
# Of ten frames a second; what is longer where no link is narrow is the machine: encoder and decoder wait.
QUIET_GAP = 0.2
LONGEST_GAP = 1.0
# Of packets that get lost at random: a keyframe or a part of it may be among them, and once in a while its repetition.
LONGEST_GAP_WITH_LOSS = 3.0
HALF = 640  # whatever is wider is the top layer, also where a busy browser makes it smaller than its 1280 pixels


async def call_of_three(person: PersonFactory, lan: dict[str, Host]) -> tuple[list[Person], list[str]]:
    """Ada, Bob and Cleo, whose link it is about; and the keys of Ada's and Bob's pictures. All at the top layer."""
    people = [
        await person(name, Chromium, lan[host], **LARGE)
        for name, host in zip(("Ada", "Bob", "Cleo"), "abc", strict=True)
    ]
    await asyncio.gather(*(one.join(ROOM) for one in people))
    await asyncio.gather(*(one.sees_others(2, 30) for one in people))
    for one in people:
        await watch(one)

        async def at_top(one: Person = one) -> bool:
            return all(video["width"] > HALF for video in await one.sees())

        try:
            await until(f"{one.name} has the top layer of both", at_top, 30)
        except AssertionError as error:
            others = [f"{each.name} {await each.situation()}" for each in people]
            raise AssertionError(f"{error}; {others}") from None
    selves = [await one.browser.evaluate("document.querySelector('turnd-call').dataset.self") for one in people]
    return people, [f"{each}/camera" for each in selves]


async def is_back(person: Person, pictures: list[str], since: float) -> None:
    """Awaits the top layer of all pictures, for as long as it may take."""

    async def seen() -> bool:
        timeline = await recorded(person)
        return all(timeline.first(key, since, lambda width: width > HALF) for key in pictures)

    await until(f"{person.name} has the top layer back", seen, 15)


def audio_goes_on(timeline: Timeline, since: float, until: float, most: float) -> None:
    """No second of any voice is mostly made up, and all of it together hardly."""
    for mid in timeline.sounding():
        worst = max(timeline.concealment(mid, at, at + 1.0) for at in range(int(since), int(until)))
        last = [sample for sample in timeline.samples if sample.mid == mid][-1]
        print(
            f"{mid}: {timeline.concealment(mid, since, until):.1%} made up, {worst:.0%} of the worst second, "
            f"{last.lost} of {last.packets} lost, {last.nacks} asked for"
        )
        assert worst < 0.5, f"{mid}: {worst:.0%} of a second was made up"
        assert timeline.concealment(mid, since, until) < most


async def bursts_do_not_stop_it(switch: Switch, host: Host, person: Person, pictures: list[str]) -> None:
    """Twice nothing at all arrives for 300 ms."""
    began_at = (await recorded(person)).now
    for _ in range(2):
        switch.lose(host, "drop")
        await asyncio.sleep(0.3)
        switch.lose(host, None)
        await asyncio.sleep(3)
    seen = await recorded(person)
    for key in pictures:
        gap = seen.longest_gap(key, began_at, seen.now)
        print(f"{key}: gap {gap:.2f} s, width at the end {seen.width_at(key, seen.now)}")
        assert gap < 1.3  # 300 ms of them are the burst itself


@pytest.mark.parametrize(
    "loss",
    [None, "numgen random mod 100 < 5 drop"],
    ids=["clean", "five-percent-loss"],
)
async def test_a_squeezed_link_gets_less_and_then_all_again(
    daemon: Daemon, lan: dict[str, Host], switch: Switch, person: PersonFactory, loss: str | None
) -> None:
    (ada, bob, cleo), (adas, bobs, _) = await call_of_three(person, lan)
    if loss:
        switch.lose(lan["c"], loss)
        await asyncio.sleep(5)
    squeezed_at = (await recorded(cleo)).now
    switch.squeeze(lan["c"], "300kbit", "300ms")
    await asyncio.sleep(12)
    freed_at = (await recorded(cleo)).now
    switch.free(lan["c"])
    await is_back(cleo, [adas, bobs], freed_at)
    seen, others = await recorded(cleo), [(await recorded(ada), bobs), (await recorded(bob), adas)]
    # Of those with a free link: what the machine makes of three browsers.
    unsqueezed = max(theirs.longest_gap(key, theirs.now - seen.now + squeezed_at, theirs.now) for theirs, key in others)
    audio_goes_on(seen, squeezed_at, seen.now, 0.05 if loss else 0.03)
    gaps = []
    for key in (adas, bobs):
        gaps.append(gap := seen.longest_gap(key, squeezed_at, seen.now) - max(0.0, unsqueezed - QUIET_GAP))
        down_at = seen.first(key, squeezed_at, lambda width: width <= HALF)
        print(f"{key}: gap {gap:.2f} s (others {unsqueezed:.2f} s), down {down_at and down_at - squeezed_at}")
        assert down_at is not None
        assert down_at - squeezed_at < 3.0
    assert min(gaps) < LONGEST_GAP
    assert max(gaps) < (LONGEST_GAP_WITH_LOSS if loss else LONGEST_GAP)
    print(f"all back after {seen.now - freed_at:.1f} s, {seen.rate_bps(squeezed_at + 5, freed_at):.0f} bit/s meanwhile")
    assert seen.rate_bps(squeezed_at + 5, freed_at) < 300_000
    assert seen.rate_bps(squeezed_at + 5, freed_at) > 120_000
    for theirs, key in others:
        whole = theirs.share(key, theirs.now - seen.now + squeezed_at, lambda width: width > HALF)
        print(f"{key} to others: {whole:.0%} of the top layer")
        assert whole > 0.9, f"only {whole:.0%} of {key} are of the top layer; {theirs.received}"
    if not loss:
        await bursts_do_not_stop_it(switch, lan["c"], cleo, [adas, bobs])
