"""A stranger's client written from PROTOCOL.md with aiortc alone: joins, sends picture and sound, counts frames.

Prints a JSON line each second: {"video": frames, "audio": frames, "participants": n}. Ends with stdin.

    python aiortc_client.py wss://host:8443/r/room/ws NAME
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack, VideoStreamTrack


class Client:
    """The two peer connections and the socket of one participant."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.publish = RTCPeerConnection()
        self.subscribe: RTCPeerConnection | None = None
        self.frames = {"video": 0, "audio": 0}
        self.participants: set[str] = set()
        self.readers: set[asyncio.Task[None]] = set()

    async def offer(self) -> None:
        """Sends the publish offer."""
        self.publish.addTrack(AudioStreamTrack())
        self.publish.addTrack(VideoStreamTrack())
        await self.publish.setLocalDescription(await self.publish.createOffer())
        sources = {"audio": "microphone", "video": "camera"}
        tracks = [{"mid": t.mid, "source": sources[t.kind]} for t in self.publish.getTransceivers()]
        await self.socket.send_json({"type": "publish", "sdp": self.publish.localDescription.sdp, "tracks": tracks})

    async def read(self, track: MediaStreamTrack) -> None:
        """Decodes a received track to its end."""
        try:
            while True:
                await track.recv()
                self.frames[track.kind] += 1
        except MediaStreamError:
            pass

    def on_track(self, track: MediaStreamTrack) -> None:
        """Starts reading a received track."""
        self.readers.add(asyncio.create_task(self.read(track)))

    async def handle(self, message: dict[str, object]) -> None:
        """Acts on one server message."""
        match message["type"]:
            case "joined":
                self.participants = {p["id"] for p in message["participants"]}  # type: ignore[attr-defined]
                await self.offer()
            case "published":
                await self.publish.setRemoteDescription(RTCSessionDescription(str(message["sdp"]), "answer"))
            case "offer":
                if self.subscribe is None or message["fresh"]:
                    self.subscribe = RTCPeerConnection()
                    self.subscribe.on("track", self.on_track)
                await self.subscribe.setRemoteDescription(RTCSessionDescription(str(message["sdp"]), "offer"))
                await self.subscribe.setLocalDescription(await self.subscribe.createAnswer())
                answer = {"type": "answer", "sdp": self.subscribe.localDescription.sdp}
                await self.socket.send_json({**answer, "generation": message["generation"]})
            case "participant":
                who = message["participant"]["id"]  # type: ignore[index]
                (self.participants.discard if message["event"] == "left" else self.participants.add)(who)
            case "ping":
                await self.socket.send_json({"type": "pong"})
            case "error":
                print(json.dumps(message), file=sys.stderr, flush=True)

    async def report(self) -> None:
        """Prints the counts each second."""
        while True:
            print(json.dumps({**self.frames, "participants": len(self.participants)}), flush=True)
            await asyncio.sleep(1)


async def main(url: str, name: str) -> None:
    """Joins and stays until stdin ends."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    async with aiohttp.ClientSession() as http, http.ws_connect(url, ssl=trust) as socket:
        client = Client(socket)
        reporter = asyncio.create_task(client.report())
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        ended.add_done_callback(lambda _: asyncio.ensure_future(socket.close()))
        await socket.send_json({"type": "join", "version": 1, "name": name})
        async for message in socket:
            await client.handle(json.loads(message.data))
        reporter.cancel()
        await client.publish.close()
        if client.subscribe:
            await client.subscribe.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
