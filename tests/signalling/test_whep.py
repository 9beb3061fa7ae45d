"""WHEP on real sockets, where it differs from WHIP."""

from __future__ import annotations

import pytest

from tests.sfu.peers import recorded
from tests.signalling.house import House
from tests.signalling.whip_client import RESTART, Whip

PATH = "/r/garden/whep"
OFFER = recorded("gstreamer_whep")


async def test_a_viewer_of_a_meeting_is_shown_to_all(house: House) -> None:
    """Nobody listens unseen."""
    ada = await house.join("Ada")
    whep = Whip(house, PATH)
    response = await whep.post(OFFER)
    assert response.status == 201
    assert (await response.text()).startswith("v=0")
    assert whep.location.startswith("/r/garden/whep/")
    assert "Link" in response.headers
    joined = (await ada.receive("participant"))["participant"]
    assert (joined["name"], joined["camera"], joined["microphone"]) == ("OBS", False, False)
    assert house.measure("whep_sessions") == 1
    assert (await whep.delete()).status == 200
    assert (await ada.receive("participant"))["event"] == "left"


async def test_a_viewer_of_a_broadcast_room_is_one_of_the_audience(house: House) -> None:
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    bob = await house.join("Bob")
    whep = Whip(house, PATH)
    assert (await whep.post(OFFER)).status == 201
    house.advance(2)
    assert (await bob.receive("audience"))["count"] == 2
    assert (await ada.receive("participant", event="joined"))["participant"]["role"] == "viewer"
    assert house.measure("participants", role="viewer") == 2


async def test_a_viewer_makes_no_room(house: House) -> None:
    """It is to come back when there is something to see (draft-ietf-wish-whep §4.2)."""
    refused = await Whip(house, PATH).post(OFFER)
    assert (refused.status, refused.headers["Retry-After"]) == (409, "5")
    assert house.measure("rooms") == 0


async def test_the_token_is_the_rooms_password(house: House) -> None:
    await house.join("Ada", password="secret")
    assert (await Whip(house, PATH, "guess").post(OFFER)).status == 401
    assert (await Whip(house, PATH, "secret").post(OFFER)).status == 201


async def test_a_participant_can_be_pinned(house: House) -> None:
    ada = await house.join("Ada")
    await Whip(house, PATH).post(OFFER, f"?participant={ada.id}&name=Wall")
    [viewer] = [peer for name, peer in house.media.rooms[0].peers.items() if name != ada.id]
    assert viewer.pinned == ada.id


@pytest.mark.parametrize(
    ("offer", "status"),
    [("nonsense", 400), (OFFER.replace("a=recvonly", "a=sendonly"), 422), (OFFER.replace("OPUS", "PCMU"), 422)],
)
async def test_offers_that_are_refused(house: House, offer: str, status: int) -> None:
    await house.join("Ada")
    assert (await Whip(house, PATH).post(offer)).status == status
    assert house.measure("whep_sessions") == 0


async def test_ice_restarts(house: House) -> None:
    await house.join("Ada")
    whep = Whip(house, PATH)
    await whep.post(OFFER)
    response = await whep.patch(RESTART, "*")
    assert (response.status, await response.text()) == (200, "a=ice-ufrag:ours\r\n")


async def test_a_viewer_ends_with_its_connection(house: House) -> None:
    ada = await house.join("Ada")
    whep = Whip(house, PATH)
    await whep.post(OFFER)
    [viewer] = [peer for name, peer in house.media.rooms[0].peers.items() if name != ada.id]
    viewer.listener.media_failed("subscribe")
    assert (await whep.patch()).status == 404
    house.advance(1)
    assert house.measure("whep_sessions") == 0
