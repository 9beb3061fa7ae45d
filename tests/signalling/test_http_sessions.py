"""Sessions of WHIP and WHEP: their PATCH and DELETE, their bounds, their end."""

from __future__ import annotations

import pytest

from signalling.access import SourceLimiter
from signalling.http_endpoint import MAX_FRAGMENT_BYTES
from signalling.http_sessions import MAX_FORMER, MAX_SESSIONS, MAX_SESSIONS_OF_SOURCE
from tests.signalling.house import House
from tests.signalling.whip_client import FRAGMENT, RESTART, Whip


async def test_sessions_are_bounded_in_all_and_by_source(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = house.service._sessions
    assert sessions.has_place("192.0.2.1", exempt=False)
    monkeypatch.setattr(sessions, "_sessions", dict.fromkeys(range(MAX_SESSIONS - 1)))
    assert sessions.has_place("192.0.2.1", exempt=False)
    monkeypatch.setattr(sessions, "_sessions", dict.fromkeys(range(MAX_SESSIONS)))
    assert not sessions.has_place("192.0.2.1", exempt=True)
    assert (await Whip(house).post()).status == 503
    monkeypatch.setattr(sessions, "_sessions", {})
    sessions._of_source["192.0.2.1"] = MAX_SESSIONS_OF_SOURCE - 1
    assert sessions.has_place("192.0.2.1", exempt=False)
    sessions._of_source["192.0.2.1"] += 1
    assert not sessions.has_place("192.0.2.1", exempt=False)
    assert sessions.has_place("192.0.2.1", exempt=True)


async def test_trickled_candidates_change_nothing(house: House, whip: Whip) -> None:
    await whip.post()
    response = await whip.patch()
    assert response.status == 204
    assert "ETag" not in response.headers
    assert (await whip.patch(match=f'W/"x", "y" , {whip.etag}')).status == 204
    [peer] = house.media.rooms[0].peers.values()
    assert [fragment.ufrag for fragment in peer.fragments] == ["KZLY", "KZLY"]


@pytest.mark.parametrize("match", ["*", '"*"'])
async def test_new_credentials_restart_ice(house: House, whip: Whip, match: str) -> None:
    """The examples of RFC 9725 have the asterisk in quotes, as clients then do."""
    await whip.post()
    response = await whip.patch(RESTART, match)
    assert response.status == 200
    assert response.content_type == FRAGMENT
    assert await response.text() == "a=ice-ufrag:ours\r\n"
    assert response.headers["ETag"] != whip.etag
    assert (await whip.patch()).status == 412
    assert (await whip.patch(match=response.headers["ETag"])).status == 204


async def test_patches_that_are_refused(house: House, whip: Whip) -> None:
    await whip.post()
    assert (await whip.patch(match="")).status == 428
    assert (await whip.patch(match='"stale"')).status == 412
    assert (await whip.patch(match="W/" + whip.etag)).status == 412
    response = await whip.patch(Content_Type="application/sdp")
    assert (response.status, response.headers["Accept-Patch"]) == (415, FRAGMENT)
    assert (await whip.patch("a=candidate:nonsense\r\n")).status == 400
    assert (await whip.patch("")).status == 400
    assert (await whip.patch("a=x:y\r\n" * (MAX_FRAGMENT_BYTES // 7 + 1))).status == 413
    [peer] = house.media.rooms[0].peers.values()
    assert peer.fragments == []


async def test_a_session_is_known_in_its_room_by_its_protocol(house: House, whip: Whip) -> None:
    await whip.post()
    for path in (whip.location.replace("garden", "lawn"), whip.location.replace("whip", "whep"), whip.location + "x"):
        assert (await whip.ask("DELETE", path)).status == 404
    assert (await whip.delete()).status == 200
    for method in ("PATCH", "GET", "HEAD"):
        headers = {"If_Match": whip.etag, "Content_Type": FRAGMENT}
        assert (await whip.ask(method, whip.location, **headers)).status == 404
    assert house.measure("rooms") == 0


async def test_requests_to_sessions_are_limited(house: House, whip: Whip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.1")
    await whip.post()
    monkeypatch.setattr(house.service._reception, "session_requests", SourceLimiter(1, 1))
    assert (await whip.ask("DELETE", whip.path + "/x")).status == 404
    refused = await whip.delete()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert house.measure("rate_limited_total", scope="negotiation") == 1


async def test_a_session_whose_connection_fails_ends_with_its_seat(house: House, whip: Whip) -> None:
    ada = await house.join("Ada")
    await whip.post()
    joined = await ada.receive("participant")
    peer = house.media.rooms[0].peers[joined["participant"]["id"]]
    peer.listener.media_failed("publish")
    house.advance(1)
    assert (await ada.receive("participant"))["event"] == "left"
    assert house.measure("whip_sessions") == 0
    assert not peer.present
    assert not house.service._sessions._of_source


@pytest.mark.parametrize("seconds", [0, 1])
async def test_deleting_what_has_ended_by_itself_is_no_error(house: House, whip: Whip, seconds: float) -> None:
    """OBS closes its peer connection first and warns of any other answer than 200."""
    await whip.post()
    [peer] = house.media.rooms[0].peers.values()
    peer.listener.media_failed("publish")
    house.advance(seconds)
    assert (await whip.delete()).status == 200
    assert (await whip.delete()).status == 200
    assert house.measure("whip_sessions") == 0


async def test_what_is_remembered_of_ended_sessions_is_bounded(house: House, whip: Whip) -> None:
    await whip.post()
    assert (await whip.delete()).status == 200
    sessions = house.service._sessions
    for number in range(MAX_FORMER - 1):
        sessions._former[f"/{number}"] = None
    assert sessions.is_over(whip.location)
    first, second = whip.location, Whip(house)
    await second.post()
    await second.delete()
    assert sessions.is_over(second.location)
    assert not sessions.is_over(first)
    assert len(sessions._former) == MAX_FORMER


async def test_draining_ends_sessions(house: House, whip: Whip) -> None:
    await whip.post()
    house.service.drain()
    assert house.measure("whip_sessions") == 0
    assert house.measure("rooms") == 0
