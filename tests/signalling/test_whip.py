"""WHIP on real sockets: what RFC 9725 and its clients ask of an HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from signalling.access import SourceLimiter
from signalling.http_endpoint import MAX_OFFER_BYTES, link_headers
from signalling.media import Source
from signalling.room import RoomLimits
from signalling.server import SignallingSettings
from tests.sfu.peers import recorded
from tests.signalling.house import House
from tests.signalling.test_server import raw
from tests.signalling.whip_client import FRAGMENT, OBS, Whip


async def test_a_post_is_answered_with_everything_a_client_needs(house: House, whip: Whip) -> None:
    """OBS wants exactly 201, a body and a Location; FFmpeg a body that begins with v=."""
    response = await whip.post(recorded("chromium_plain"))
    assert response.status == 201
    assert response.content_type == "application/sdp"
    assert (await response.text()).startswith("answer to v=0")
    assert whip.location.startswith("/r/garden/whip/")
    assert len(whip.location.rpartition("/")[2]) >= 32
    assert whip.etag == f'"{whip.etag[1:-1]}"'
    seat = next(house.service._rooms.seats())
    assert response.headers.getall("Link") == [
        f'<turn:127.0.0.1:3478>; rel="ice-server"; username="{seat.id}"; credential="c"; credential-type="password"'
    ]
    assert house.measure("whip_sessions") == 1
    assert house.measure("http_requests_total", route="/r/{room}/whip", method="POST", code="201") == 1


async def test_a_publisher_is_a_participant_who_sends(house: House, whip: Whip) -> None:
    ada = await house.join("Ada")
    await whip.post()
    joined = await ada.receive("participant")
    assert joined["event"] == "joined"
    assert joined["participant"] | {"id": ""} == {
        "id": "",
        "name": "OBS",
        "role": "speaker",
        "connected": True,
        "microphone": True,
        "camera": True,
        "screen": False,
        "hand": 0,
    }
    peer = house.media.rooms[0].peers[joined["participant"]["id"]]
    assert peer.tracks == {"0": Source.MICROPHONE, "1": Source.CAMERA}
    assert peer.client_address == "127.0.0.1"
    assert (await whip.delete()).status == 200
    assert (await ada.receive("participant"))["event"] == "left"
    assert not peer.present


@pytest.mark.parametrize(
    ("agent", "query", "name"),
    [
        ("Lavf/61.7.100", "", "FFmpeg"),
        ("GStreamer/1.26", "", "GStreamer"),
        ("curl/8", "", "WHIP"),
        ("curl/8", "?name=Stage%20left", "Stage left"),
    ],
)
async def test_its_name_is_given_or_that_of_its_program(
    house: House, whip: Whip, agent: str, query: str, name: str
) -> None:
    whip.headers["User-Agent"] = agent
    assert (await whip.post(query=query)).status == 201
    assert [seat.name for seat in house.service._rooms.seats()] == [name]


async def test_a_screen_when_the_query_says_so(house: House, whip: Whip) -> None:
    await whip.post(query="?source=screen")
    [peer] = house.media.rooms[0].peers.values()
    assert peer.tracks == {"0": Source.SCREEN_AUDIO, "1": Source.SCREEN}


@pytest.mark.parametrize("query", ["?name=%00", "?name=", "?source=window"])
async def test_a_query_that_is_wrong_is_refused(house: House, whip: Whip, query: str) -> None:
    assert (await whip.post(query=query)).status == 400
    assert house.measure("rooms") == 0


async def test_other_bodies_are_refused(house: House, whip: Whip) -> None:
    response = await whip.post(Content_Type="text/plain")
    assert response.status == 415
    assert response.headers["Accept-Post"] == "application/sdp"
    assert (await whip.post(Content_Encoding="identity")).status == 415
    assert (await whip.post("no offer")).status == 400
    assert (await whip.ask("POST", whip.path, b"v=0\xff", Content_Type="application/sdp")).status == 400
    assert house.measure("rooms") == 0


async def test_offers_are_bounded(house: House, whip: Whip) -> None:
    padding = "a=x:" + "y" * 994 + "\r\n"
    text = OBS + padding * ((MAX_OFFER_BYTES - len(OBS)) // len(padding))
    text += "a=x:" + "y" * (MAX_OFFER_BYTES - len(text) - 6) + "\r\n"
    assert len(text) == MAX_OFFER_BYTES
    assert (await whip.post(text)).status == 201
    assert (await whip.post(text + "\n")).status == 413

    async def parts() -> Any:
        for _ in range(2):
            yield text.encode()

    headers = {"Content-Type": "application/sdp"}
    async with house.http.post(house.url + whip.path, data=parts(), headers=headers) as response:
        assert response.status == 413


HEAD = b"POST /r/garden/whip HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n"


async def begun(house: House, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose request is being read by us."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(head)
    await writer.drain()
    assert (await Whip(house).ask("GET", "/")).status == 200  # another request has been served meanwhile
    return reader, writer


@pytest.mark.parametrize("body", [b"zz\r\n", b"4\r\nv=0\nnonsense"])
async def test_a_broken_body_is_the_clients_fault(house: House, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no chunk any more is not waited for longer than one that does not come."""
    monkeypatch.setattr("signalling.http_endpoint.BODY_SECONDS", 0.05)
    reader, writer = await begun(house, HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    writer.write(body)
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"408"
    writer.close()
    assert house.measure("signalling_errors_total") == 0


async def test_a_body_that_does_not_come_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.http_endpoint.BODY_SECONDS", 0.05)
    reader, writer = await begun(house, HEAD + b"Content-Length: 9\r\n\r\nv")
    assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"408"
    writer.close()


async def test_a_client_that_goes_away_while_it_posts_is_no_fault_of_ours(house: House) -> None:
    _, writer = await begun(house, HEAD + b"Content-Length: 9\r\n\r\nv")
    writer.transport.abort()
    assert (await Whip(house).ask("GET", "/")).status == 200
    assert house.measure("signalling_errors_total") == 0


@pytest.mark.parametrize(
    ("change", "to"),
    [
        ("a=setup:actpass", "a=setup:holdconn"),
        ("H264/90000", "H263/90000"),
        ("a=sendonly", "a=recvonly"),
        ("m=audio", "m=video"),
        ("a=rtcp-mux\r\n", ""),
    ],
)
async def test_what_cannot_be_used_is_refused_as_a_whole(house: House, whip: Whip, change: str, to: str) -> None:
    """No session that works in part (RFC 9725 §4.4.3); one track of a kind (§4.4.2)."""
    ada = await house.join("Ada")
    assert (await whip.post(OBS.replace(change, to))).status == 422
    assert [seat.name for seat in house.service._rooms.seats()] == ["Ada"]
    await ada.quiet()


async def test_a_fault_of_ours_leaves_no_seat(
    house: House, whip: Whip, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr("tests.signalling.media.Peer.publish", fail)
    assert (await whip.post()).status == 500
    assert house.measure("rooms") == 0
    assert "answering a request failed" in caplog.text


@pytest.mark.parametrize("path", ["/r/Garden/whip", "/r/" + "x" * 65 + "/whip", "/r/a_b/whip"])
async def test_other_names_are_no_rooms(house: House, path: str) -> None:
    """No redirect to the nearest name as for the page: what posts was configured by somebody."""
    assert (await Whip(house, path).post()).status == 404
    assert (await Whip(house, path).ask("GET", path)).status == 404


async def test_methods(house: House, whip: Whip) -> None:
    response = await whip.ask("PUT", whip.path)
    assert response.status == 405
    assert response.headers["Allow"] == "OPTIONS, GET, HEAD, POST"
    assert (await whip.ask("GET", whip.path)).status == 204
    await whip.post()
    response = await whip.ask("POST", whip.location)
    assert response.status == 405
    assert response.headers["Allow"] == "OPTIONS, GET, HEAD, PATCH, DELETE"
    assert (await whip.ask("HEAD", whip.location)).status == 204


async def test_options_tell_what_is_accepted_and_no_credentials(house: House, whip: Whip) -> None:
    response = await whip.ask("OPTIONS", whip.path)
    assert (response.status, response.headers["Accept-Post"]) == (200, "application/sdp")
    assert "Link" not in response.headers
    assert "Access-Control-Allow-Origin" not in response.headers
    assert (await whip.ask("OPTIONS", whip.path + "/x")).headers["Accept-Patch"] == FRAGMENT


# Other origins.


async def test_pages_of_our_own_origin_may_use_it(house: House, whip: Whip) -> None:
    response = await whip.post(Origin=house.url)
    assert response.status == 201
    assert response.headers["Access-Control-Allow-Origin"] == house.url
    assert response.headers["Vary"] == "Origin"
    assert {"Location", "Link", "ETag"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))


async def test_pages_of_other_origins_may_not(house: House, whip: Whip) -> None:
    response = await whip.post(Origin="https://evil.example")
    assert response.status == 403
    assert "Access-Control-Allow-Origin" not in response.headers
    preflight = await whip.ask("OPTIONS", whip.path, Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in preflight.headers
    assert house.measure("auth_failures_total", kind="origin") == 1
    assert house.measure("rooms") == 0


@pytest.mark.parametrize("allowed", ["https://asso.example", "*"])
async def test_pages_of_named_origins_may(open_house: Callable[..., asyncio.Future[House]], allowed: str) -> None:
    whip = Whip(await open_house(SignallingSettings(origins=(allowed,))))
    origin = "https://asso.example"
    preflight = await whip.ask("OPTIONS", whip.path, Origin=origin, Access_Control_Request_Method="POST")
    assert preflight.headers["Access-Control-Allow-Origin"] == origin
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert (await whip.post(Origin=origin)).status == 201
    refused = await whip.patch(match='"old"', Origin=origin)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (412, origin)


# Who may.


async def test_the_token_is_the_rooms_password(house: House) -> None:
    first = Whip(house, token="secret")
    assert (await first.post()).status == 201
    for wrong in ("", "guess"):
        response = await Whip(house, token=wrong).post()
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="turnd"')
    assert house.measure("auth_failures_total", kind="password") == 2
    await house.join("Ada", password="secret")
    assert (await Whip(house, token="secret").post()).status == 201


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer " + "x" * 129, "Bearer a\x85b"])
async def test_other_credentials_are_refused(house: House, whip: Whip, header: str) -> None:
    whip.headers["Authorization"] = header
    assert (await whip.post()).status == 401


async def test_a_password_of_the_greatest_length_and_of_any_letters(house: House) -> None:
    token = "é" * 128
    request = f"POST /r/garden/whip HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: bearer {token}\r\n"
    request += f"Content-Type: application/sdp\r\nContent-Length: {len(OBS)}\r\n\r\n{OBS}"
    assert (await raw(house, request.encode())).split()[1] == b"201"
    await house.join("Ada", password=token)


async def test_wrong_tokens_and_posts_are_limited_like_joins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "192.0.2.1")
    reception = house.service._reception
    monkeypatch.setattr(reception, "wrong_passwords", SourceLimiter(1, 0.1))
    await house.join("Ada", password="secret")
    assert (await Whip(house, token="guess").post()).status == 401
    refused = await Whip(house, token="secret").post()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "10")
    assert house.measure("rate_limited_total", scope="password") == 1
    monkeypatch.setattr(reception, "joins", SourceLimiter(1, 1))
    await Whip(house, "/r/lawn/whip").post()
    refused = await Whip(house, "/r/lawn/whip").post()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "5")
    assert house.measure("joins_total", result="rate") == 2


async def test_only_a_hosts_token_opens_the_stage_of_a_broadcast_room(house: House) -> None:
    ada = await house.join("Ada", password="secret", settings={"mode": "broadcast"})
    bob = await house.join("Bob", password="secret")
    for token in ("", "secret", bob.joined["resume"]["token"]):
        assert (await Whip(house, token=token).post()).status == 403
    whip = Whip(house, token=ada.joined["resume"]["token"])
    assert (await whip.post()).status == 201
    joined = (await bob.receive("participant"))["participant"]
    assert joined["role"] == "speaker"
    await ada.send(type="stage", participant=joined["id"], on=False)
    await ada.quiet()
    house.advance(1)
    assert (await whip.patch()).status == 404
    assert house.measure("whip_sessions") == 0


async def test_a_hosts_token_makes_no_room(house: House) -> None:
    """Else it would be the password of the room that the host comes back to."""
    ada = await house.join("Ada", settings={"mode": "broadcast"})
    await ada.send(type="leave")
    await ada.close_code()
    refused = await Whip(house, token=ada.joined["resume"]["token"]).post()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert house.measure("rooms") == 0


async def test_a_full_or_leaving_server_asks_to_come_back(open_house: Callable[..., asyncio.Future[House]]) -> None:
    house = await open_house(SignallingSettings(limits=RoomLimits(participants=1)))
    assert (await Whip(house).post()).status == 201
    refused = await Whip(house).post()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "30")
    house.service.refuse_newcomers()
    refused = await Whip(house, "/r/lawn/whip").post()
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert house.measure("joins_total", result="draining") == 1


# Link headers.


def obs_servers(links: list[str]) -> list[tuple[str, str, str]]:
    """As OBS reads them: split at commas, then at semicolons, `stun:` and `turn:` only."""
    servers = []
    for link in ",".join(links).split(","):
        url = username = password = ""
        for part in link.split(";"):
            part = part.strip()
            if part.startswith(("<stun:", "<turn:")):
                url = part[1 : part.index(">")]
            elif "username=" in part:
                username = part.split('"')[1]
            elif "credential=" in part:
                password = part.split('"')[1]
        servers.append((url, username, password))
    return servers


def test_obs_can_read_every_server_but_those_over_tls() -> None:
    secret = {"username": "1730000000:abc", "credential": "dG9rZW4+/=="}
    urls = ["turn:h:3478?transport=udp", "turn:h:3478?transport=tcp", "turns:h:5349?transport=tcp"]
    links = link_headers([{"urls": ["stun:h:3478"]}, {"urls": urls, **secret}])
    assert obs_servers(links)[0] == ("stun:h:3478", "", "")
    assert obs_servers(links)[1:3] == [(url, "1730000000:abc", "dG9rZW4+/==") for url in urls[:2]]
    assert links[3].startswith("<turns:h:5349?transport=tcp>; rel=")
    assert "username" not in links[0]


@pytest.mark.parametrize("credential", ["a,b", "a;b", 'a"b'])
def test_credentials_that_break_the_header_are_left_out(credential: str) -> None:
    assert link_headers([{"urls": ["turn:h:1"], "username": "u", "credential": credential}]) == []


async def test_bodies_are_not_unpacked(house: House) -> None:
    headers = {"Content-Type": "application/sdp", "Content-Encoding": "gzip"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(
            house.url + "/r/garden/whip", data=b"\x1f\x8b not really", headers=headers, skip_auto_headers=()
        ) as response,
    ):
        assert response.status == 415
