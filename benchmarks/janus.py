"""Debian's janus with its videoroom: started with a configuration of its own, and spoken to over its WebSocket.

Everything is at Debian's defaults but for sessions that do not end, and plugins and transports that are not used, which
are not loaded.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from benchmarks.participant import Credentials, Media, Transport, answer_sdp, connect, offer_sdp, open_socket
from benchmarks.process import Server
from wire.dtls import DtlsContext

HOST = "127.0.0.1"
API_PORT = 28188
RTP_PORTS = (43000, 44999)
LIBRARY = Path("/usr/lib/x86_64-linux-gnu/janus")
ROOM = 1
ANSWER_SECONDS = 30.0


def _all_but(kind: str, wanted: str) -> str:
    """The value of a `disable` key."""
    names = sorted(each.name for each in (LIBRARY / kind).glob("*.so") if each.name != wanted)
    return ",".join(names)


def _configure(folder: Path) -> None:
    (folder / "janus.jcfg").write_text(
        f"""general: {{
  configs_folder = "{folder}"
  plugins_folder = "{LIBRARY}/plugins"
  transports_folder = "{LIBRARY}/transports"
  events_folder = "{LIBRARY}/events"
  loggers_folder = "{LIBRARY}/loggers"
  debug_level = 3
  session_timeout = 0
}}
media: {{ rtp_port_range = "{RTP_PORTS[0]}-{RTP_PORTS[1]}" }}
plugins: {{ disable = "{_all_but("plugins", "libjanus_videoroom.so")}" }}
transports: {{ disable = "{_all_but("transports", "libjanus_websockets.so")}" }}
"""
    )
    (folder / "janus.transport.websockets.jcfg").write_text(
        f"""general: {{ json = "compact", ws = true, ws_port = {API_PORT}, ws_ip = "{HOST}", wss = false }}
"""
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: {}\n")


def _answers() -> bool:
    """Whether its API can be reached."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((HOST, API_PORT)) == 0


def start_janus(folder: Path) -> Server:
    """Debian's binary."""
    program = shutil.which("janus")
    if program is None:
        raise RuntimeError("janus is not installed (apt install janus)")
    _configure(folder)
    return Server("janus", [program, "-F", str(folder)], _answers, folder / "janus.log", folder)


def version() -> str:
    """Of the package."""
    found = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "janus"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "?"


class JanusRoom:
    """One session with a room for everybody."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._context = DtlsContext()
        self._transactions = itertools.count()
        self._replies: dict[str, asyncio.Future[dict[str, object]]] = {}
        self._session: dict[str, object] = {}
        self._transports: list[Transport] = []

    async def open(self, publishers: int) -> None:
        """Makes the room."""
        self._socket = await self._http.ws_connect(
            f"ws://{HOST}:{API_PORT}/", protocols=("janus-protocol",), max_msg_size=0
        )
        self._reader = asyncio.create_task(self._read())
        self._session = {"session_id": _identifier(await self._request({"janus": "create"}))}
        body = {"request": "create", "room": ROOM, "publishers": publishers, "audiocodec": "opus", "videocodec": "vp8"}
        await self._message(await self._attach(), body)

    async def publish(self, number: int, medias: Sequence[Media]) -> Transport:
        """A publisher that sends these; we are the DTLS client here too."""
        credentials = Credentials(self._context)
        offer = offer_sdp(list(medias), credentials).replace("a=setup:actpass", "a=setup:active")
        body = {"request": "joinandconfigure", "ptype": "publisher", "room": ROOM, "id": number}
        handle = await self._attach()
        reply = await self._message(handle, body, {"type": "offer", "sdp": offer})
        return await self._connect(handle, _sdp(reply), credentials)

    async def subscribe(self, feeds: Sequence[tuple[int, Sequence[Media]]]) -> Transport:
        """One peer connection that receives all of these publishers' media."""
        handle = await self._attach()
        streams = [{"feed": feed, "mid": media.mid} for feed, medias in feeds for media in medias]
        body = {"request": "join", "ptype": "subscriber", "room": ROOM, "streams": streams}
        offer = _sdp(await self._message(handle, body))
        credentials = Credentials(self._context)
        answer = {"type": "answer", "sdp": answer_sdp(offer, credentials)}
        await self._message(handle, {"request": "start"}, answer)
        return await self._connect(handle, offer, credentials)

    async def close(self) -> None:
        """Leaves."""
        self._reader.cancel()
        await self._socket.close()
        for transport in self._transports:
            transport.socket.close()

    async def _connect(self, handle: int, remote_sdp: str, credentials: Credentials) -> Transport:
        udp = open_socket(remote_sdp)
        host, port = udp.getsockname()
        candidate = {"sdpMLineIndex": 0, "candidate": f"candidate:1 1 udp 2130706431 {host} {port} typ host"}
        for each in (candidate, {"completed": True}):  # it begins with the first
            await self._socket.send_json(self._wrap({"janus": "trickle", "handle_id": handle, "candidate": each}, "-"))
        up = self._replies[f"up {handle}"] = asyncio.get_running_loop().create_future()
        self._transports.append(await connect(remote_sdp, credentials, udp))
        await asyncio.wait_for(up, ANSWER_SECONDS)  # not before that is a feed one that can be subscribed to
        return self._transports[-1]

    def _wrap(self, message: dict[str, object], transaction: str) -> dict[str, object]:
        return {**message, **self._session, "transaction": transaction}

    async def _attach(self) -> int:
        return _identifier(await self._request({"janus": "attach", "plugin": "janus.plugin.videoroom"}))

    async def _message(
        self, handle: int, body: dict[str, object], jsep: dict[str, object] | None = None
    ) -> dict[str, object]:
        message: dict[str, object] = {"janus": "message", "handle_id": handle, "body": body}
        return await self._request(message if jsep is None else {**message, "jsep": jsep})

    async def _request(self, message: dict[str, object]) -> dict[str, object]:
        """The reply proper: of a message to the plugin that is its event, after an acknowledgement."""
        transaction = str(next(self._transactions))
        future = self._replies[transaction] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(self._wrap(message, transaction))
        return await asyncio.wait_for(future, ANSWER_SECONDS)

    async def _read(self) -> None:
        async for frame in self._socket:
            message = frame.json()
            data = message.get("plugindata", {}).get("data", {})
            key = f"up {message['sender']}" if message["janus"] == "webrtcup" else message.get("transaction")
            if message["janus"] == "ack" or key not in self._replies:
                continue  # notices of others' comings and of media
            future = self._replies.pop(key)
            if message["janus"] == "error" or "error" in data:
                future.set_exception(RuntimeError(str(message.get("error") or data["error"])))
            else:
                future.set_result(message)


def _identifier(reply: dict[str, object]) -> int:
    data = reply["data"]
    assert isinstance(data, dict)
    return int(data["id"])


def _sdp(reply: dict[str, object]) -> str:
    jsep = reply["jsep"]
    assert isinstance(jsep, dict)
    return str(jsep["sdp"])
