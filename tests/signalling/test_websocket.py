from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from signalling.client_messages import MAX_MESSAGE_BYTES
from signalling.server import SignallingSettings
from tests.signalling.house import House


def padded(size: int) -> str:
    message = json.dumps({"type": "ping", "request": "big", "padding": ""})
    return message[:-2] + "x" * (size - len(message)) + message[-2:]


async def test_message_at_the_bound_is_read(house: House) -> None:
    ada = await house.join("Ada")
    await ada.socket.send_str(padded(MAX_MESSAGE_BYTES))
    await ada.receive("pong", request="big")


async def test_message_over_the_bound_is_told_and_ends_the_socket(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.socket.send_str(padded(MAX_MESSAGE_BYTES + 1))
    error = await ada.receive("error")
    assert (error["code"], error["fatal"]) == ("too-large", True)
    assert await ada.close_code() == 1009
    event = await bob.receive("participant")
    assert event["participant"] == {**event["participant"], "id": ada.id, "connected": False}
    await house.closed_sockets(1)
    assert house.measure("websocket_closes_total", code="1009") == 1


async def test_much_too_large_message_is_told_too(house: House) -> None:
    ada = await house.join("Ada")
    await ada.socket.send_str(padded(16 * MAX_MESSAGE_BYTES))
    assert (await ada.receive("error"))["code"] == "too-large"


async def test_invalid_utf8_ends_the_socket(house: House) -> None:
    ada = await house.join("Ada")
    await ada.socket.send_frame(b"\xff\xfe", 1)  # type: ignore[arg-type]
    assert await ada.close_code() == 1007
    await house.closed_sockets(1)
    assert house.measure("websocket_closes_total", code="1007") == 1


async def test_compression_is_not_taken(house: House) -> None:
    client = await house.connect(compress=15)
    assert not client.socket.compress


async def test_many_are_told_in_turns_and_in_order(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.websocket.MANY_SOCKETS", 1)
    ada, bob = await house.join("Ada"), await house.join("Bob")
    for number in range(5):
        await ada.send(type="chat", text=str(number))
    assert [(await bob.receive("chat"))["text"] for _ in range(5)] == ["0", "1", "2", "3", "4"]
    assert house.measure("joins_waiting") == 0


async def test_slow_reader_is_cut_off_and_delays_nobody(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalling.websocket.CLOSE_SECONDS", 0.1)
    ada, bob = await house.join("Ada"), await house.join("Bob")
    slow = house.media.rooms[0].peers[ada.id].listener
    ada.pause()
    for number in range(100):
        slow.media_offer("x" * 200_000, number, False)
        # The writer task runs until the kernel's buffers are full.
        await asyncio.sleep(0)
    event = await bob.receive("participant", event="changed")
    assert event["participant"] == {**event["participant"], "id": ada.id, "connected": False}
    await bob.quiet()
    await house.closed_sockets(1)
    assert house.measure("websocket_closes_total", code="1013") == 1
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    assert again.joined["resumed"] is True


async def test_slow_reader_that_reads_again_is_told(house: House) -> None:
    ada = await house.join("Ada")
    slow = house.media.rooms[0].peers[ada.id].listener
    for number in range(40):
        slow.media_offer("x" * 200_000, number, False)
    closing = await ada.receive("closing")
    assert (closing["reason"], closing["retry_ms"]) == ("overloaded", 1000)
    assert await ada.close_code() == 1013


async def test_sockets_are_bounded(open_house: Callable[..., Any]) -> None:
    house = await open_house(SignallingSettings(max_sockets=1))
    first = await house.connect()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    async with house.http.get(f"{house.url}/r/garden/ws", headers=headers) as response:
        assert response.status == 503
        assert response.headers["Retry-After"]
    assert house.measure("rate_limited_total", scope="sockets") == 1
    await first.socket.close()
    await house.closed_sockets(1)
    await house.connect()


async def test_client_that_closes_keeps_its_seat(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.socket.close()
    assert (await bob.receive("participant"))["participant"]["connected"] is False
    assert house.measure("websocket_closes_total", code="1000") == 1
    assert house.measure("websocket_connections") == 1


async def test_client_that_goes_away_gives_up_its_seat(house: House) -> None:
    ada, bob = await house.join("Ada"), await house.join("Bob")
    await ada.socket.close(code=1001)
    await bob.receive("participant", event="left")
    assert house.measure("websocket_closes_total", code="1001") == 1
    assert house.measure("participants", role="host") == 1


async def test_replaced_socket_that_goes_away_gives_up_nothing(house: House) -> None:
    ada = await house.join("Ada")
    again = await house.join("Ada", resume=ada.joined["resume"]["token"])
    await ada.socket.close(code=1001)
    await again.quiet()
    assert house.measure("participants", role="host") == 1
