"""The stage of the page with more people than fit on it: views, pins, pages, our own picture, hands and reactions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.browsers import Chromium
from tests.e2e.call import Person, until
from tests.e2e.conftest import PersonFactory
from tests.e2e.crowd import Crowd, crowd
from tests.e2e.daemon import Daemon
from tests.e2e.page import PAGE, PHONE, both_themes

pytestmark = [pytest.mark.browser, pytest.mark.alone]
ROOM = f"{PAGE}/r/stage"
# Each tile that is seen: its key, its name, its box where it will come to rest, and how it stands.
TILES = """[...document.querySelectorAll('turnd-tile:not([hidden])')].map(tile => {
  const [x, y] = tile.style.transform.match(/-?[\\d.]+/g).map(Number);
  return {key: tile.key, name: tile.querySelector('.tile-name').textContent, x, y, width: parseFloat(tile.style.width),
          height: parseFloat(tile.style.height), large: tile.matches('.is-large'),
          floating: tile.matches('.is-floating')};
})"""
STATE = "document.querySelector('turnd-call').call.store.state"
Tile = dict[str, Any]

# The least that any tile was opaque in any frame from now on.
FAINTEST = """() => {
  window.faintest = 1;
  const look = () => {
    for (const tile of document.querySelectorAll("turnd-tile:not([hidden])"))
      window.faintest = Math.min(window.faintest, Number(getComputedStyle(tile).opacity));
    requestAnimationFrame(look);
  };
  look();
}"""


class Stage:
    """What one person sees."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page = person.browser.page  # type: ignore[attr-defined]

    async def tiles(self) -> list[Tile]:
        """Those that are seen, by their places: rows from above, each from the left."""
        found: list[Tile] = await self.person.browser.evaluate(TILES)
        return sorted(found, key=lambda tile: (round(tile["y"]), tile["x"]))

    async def shows(self, what: str, count: int) -> list[Tile]:
        """Awaits so many tiles."""

        async def probe() -> list[Tile] | None:
            tiles = await self.tiles()
            return tiles if len(tiles) == count else None

        try:
            found: list[Tile] = await until(f"{count} tiles: {what}", probe, 10)
        except AssertionError as error:
            raise AssertionError(f"{error}; tiles {await self.tiles()}") from None
        return found

    async def large(self, name: str) -> list[Tile]:
        """Awaits that this one stands large, larger than everybody else."""

        async def probe() -> list[Tile] | None:
            tiles = await self.tiles()
            large = [tile for tile in tiles if tile["large"]]
            return tiles if [tile["name"] for tile in large] == [name] else None

        tiles: list[Tile] = await until(f"{name} is large", probe, 10)
        widest = max(tiles, key=lambda tile: float(tile["width"]))
        assert widest["name"] == name
        return tiles

    async def own(self) -> Tile | None:
        """Our own tile."""
        return next((tile for tile in await self.tiles() if tile["key"] == "self"), None)

    async def settled(self) -> None:
        """Awaits that nothing glides any more; a glide may give way to another."""
        await self.page.evaluate("""async () => {
            const gliding = () => [...document.querySelectorAll('turnd-tile')].flatMap(tile => tile.getAnimations());
            for (let each = gliding(); each.length; each = gliding())
                await Promise.allSettled(each.map(one => one.finished));
        }""")

    async def pictures(self, name: str) -> None:
        """What they see, to look at."""
        await self.settled()
        await both_themes(self.person, name)

    async def press(self, selector: str) -> None:
        """Presses a button."""
        await self.person.browser.click(selector)


async def enter(person: Person) -> Stage:
    """Joins the room; the page is a call then."""
    await person.join(ROOM)
    stage = Stage(person)
    await stage.page.wait_for_selector('turnd-call[data-phase="call"]')
    return stage


async def test_the_stage_from_two_people_to_twelve(loopback: Daemon, person: PersonFactory) -> None:
    ada = await enter(await person("Ada", Chromium))
    async with crowd(ROOM) as others:
        await own_picture(ada, others)
        await pins_and_speakers(ada, others)
        await pages(ada, others)
        await hands_and_reactions(ada, others)
        zoe = await enter(await person("Zoé", Chromium, **PHONE))
        await a_phone(zoe)


async def own_picture(ada: Stage, others: Crowd) -> None:
    """Alone and in the grid a tile as others; with one other it floats in the corner we carry it to."""
    [alone] = await ada.shows("alone", 1)
    assert alone["key"] == "self"
    assert not alone["floating"]
    await others.come(1)
    two = await ada.shows("two", 2)
    [self_view] = [tile for tile in two if tile["floating"]]
    assert self_view["key"] == "self"
    await ada.pictures("stage-2")
    # A window that is drawn smaller makes nobody vanish, not for a moment.
    await ada.person.browser.evaluate(FAINTEST)
    await ada.person.browser.resize(900, 700)
    await ada.settled()
    await ada.person.browser.resize(1280, 800)
    await ada.settled()
    assert await ada.person.browser.evaluate("faintest") == 1
    await ada.page.focus("turnd-tile.is-floating")
    await ada.page.keyboard.press("ArrowUp")
    raised = await ada.own()
    assert raised is not None
    assert raised["y"] < self_view["y"]
    await ada.settled()
    box = await ada.page.locator("turnd-tile.is-floating video").bounding_box()
    await ada.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await ada.page.mouse.down()
    await ada.page.mouse.move(300, 600, steps=5)
    await ada.page.mouse.up()
    carried = await ada.own()
    assert carried is not None
    assert carried["x"] < raised["x"]
    assert carried["y"] > raised["y"]
    assert await ada.person.browser.evaluate(f"{STATE}.selfCorner") == "bottom-start"
    await ada.press('[data-action="self-view"]')
    await ada.press('[data-action="self-view-hidden"]')
    await ada.shows("without ourselves", 1)
    assert await ada.person.browser.evaluate("JSON.parse(localStorage.turnd).selfView") == "hidden"
    await ada.person.browser.evaluate("document.querySelector('[data-self-view=grid]').click()")
    grid = await ada.shows("ourselves in the grid", 2)
    assert not any(tile["floating"] for tile in grid)


async def pins_and_speakers(ada: Stage, others: Crowd) -> None:
    """Who is pinned stands large until the pin is taken out; in the speaker view who speaks does."""
    await others.come(3)
    await ada.shows("five", 5)
    await ada.pictures("stage-5")
    first, second = others.people[0], others.people[1]
    pin = f'turnd-tile[data-participant="{first.id}"] [data-action="pin"]'
    await ada.page.focus(pin)
    await ada.page.keyboard.press("Enter")
    await ada.large(first.name)
    assert await ada.page.get_attribute(pin, "aria-pressed") == "true"
    await ada.page.dblclick(f'turnd-tile[data-participant="{second.id}"] .tile-name')
    await ada.large(second.name)
    await ada.page.dblclick(f'turnd-tile[data-participant="{second.id}"] .tile-name')
    await ada.shows("five again", 5)
    assert not any(tile["large"] for tile in await ada.tiles())
    await ada.press('[data-action="view"]')
    before = await ada.large(first.name)
    second.talk(talking=True)
    after = await ada.large(second.name)
    # They change places; nobody else moves.
    places = [{tile["name"]: (tile["x"], tile["y"]) for tile in tiles} for tiles in (before, after)]
    assert places[0][first.name] == places[1][second.name]
    assert places[0][second.name] == places[1][first.name]
    still = places[0].keys() - {first.name, second.name}
    assert {name: places[0][name] for name in still} == {name: places[1][name] for name in still}
    second.talk(talking=False)
    await ada.pictures("stage-speaker")
    assert await ada.person.browser.evaluate("JSON.parse(localStorage.turnd).view") == "speaker"
    await ada.press('[data-action="view"]')


async def pages(ada: Stage, others: Crowd) -> None:
    """Nine on a page; the last one to come speaks, and is brought into sight by one exchange of seats."""

    async def silence() -> bool:
        return await ada.person.browser.evaluate(f"{STATE}.speaker") is None

    await until("nobody has the floor", silence, 10)
    await others.come(7, show=False)
    nine = await ada.shows("nine of twelve", 9)
    assert await ada.page.inner_text(".pager-words") == "1/2"
    await ada.pictures("stage-12")
    seen = {other.id for other in others.people if other.publishing >= 0}
    await receives(ada, seen)
    await ada.page.keyboard.press("PageDown")
    three = await ada.shows("the last three", 3)
    assert {tile["width"] for tile in three} <= {tile["width"] for tile in nine}
    await receives(ada, set())
    await ada.press('[data-action="page-back"]')
    await ada.shows("nine again", 9)
    await receives(ada, seen)
    last = others.people[-1]
    await last.show()
    last.talk(talking=True)

    async def brought() -> list[Tile] | None:
        tiles = await ada.tiles()
        return tiles if last.name in {tile["name"] for tile in tiles} else None

    after = await until("the speaker is brought into sight", brought, 15)
    last.talk(talking=False)
    changed = [(old["name"], new["name"]) for old, new in zip(nine, after, strict=True) if old["name"] != new["name"]]
    assert len(changed) == 1
    assert changed[0][1] == last.name


async def receives(stage: Stage, people: set[str]) -> None:
    """Awaits that the server sends the pictures of these and of nobody else."""

    async def probe() -> bool:
        return await sent(stage) == people

    await until(f"pictures of {people}", probe, 10)


async def sent(stage: Stage) -> set[str]:
    """Whose pictures the server sends to them."""
    received = await stage.person.browser.evaluate(f"{STATE}.received.streams.filter(s => s.kbps).map(s => s.mid)")
    slots = await stage.person.browser.evaluate("document.querySelector('turnd-call').call.subscriber.slots")
    return {slot["participant"] for slot in slots if slot["mid"] in received}


async def hands_and_reactions(ada: Stage, others: Crowd) -> None:
    """Hands are numbered as they were raised; a reaction rises over the tile, or names who is not seen."""
    shown = {tile["key"] for tile in await ada.tiles()}
    seen = [other for other in others.people if other.id in shown]
    hidden = next(other for other in others.people if other.id not in shown)
    for other in (seen[2], seen[0]):
        await other.socket.send_json({"type": "hand", "up": True})
        await ada.page.wait_for_selector(f'turnd-tile[data-participant="{other.id}"] .tile-hand:not([hidden])')
    for other, number in ((seen[2], "1"), (seen[0], "2")):
        assert await ada.page.inner_text(f'turnd-tile[data-participant="{other.id}"] .tile-hand') == number
    await seen[1].socket.send_json({"type": "reaction", "reaction": "applause"})
    await ada.page.wait_for_selector(f'turnd-tile[data-participant="{seen[1].id}"] .tile-reaction')
    await hidden.socket.send_json({"type": "reaction", "reaction": "party"})
    await ada.page.wait_for_selector(".called")
    assert await ada.page.inner_text(".called-name") == hidden.name
    await ada.pictures("stage-reactions")
    await ada.page.wait_for_selector(".called", state="detached")


async def a_phone(zoe: Stage) -> None:
    """Fewer on a page, which a finger turns."""
    await zoe.shows("a phone's page", 8)
    await zoe.pictures("stage-phone")
    await swipe(zoe, 300, 60)
    await zoe.shows("the other page", 5)
    await zoe.press('[data-action="view"]')
    await zoe.page.wait_for_selector("turnd-tile.is-large")
    await zoe.pictures("stage-phone-speaker")


async def swipe(stage: Stage, start: int, end: int) -> None:
    """A finger across the stage."""
    session = await stage.page.context.new_cdp_session(stage.page)
    for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        touches = [{"x": x, "y": 400} for x in points]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
