"""aiortc as a WHIP publisher or a WHEP player: one offer with all candidates, one answer.

Prints a JSON line each second: {"video": frames decoded, "audio": frames decoded}; ends with stdin, by DELETE.

    python aiortc_whip.py publish https://host:8443/r/room/whip
    python aiortc_whip.py play https://host:8443/r/room/whep
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from urllib.parse import urljoin

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, MediaStreamTrack, VideoStreamTrack

counts = {"video": 0, "audio": 0}
readers: set[asyncio.Task[None]] = set()


async def read(track: MediaStreamTrack) -> None:
    """Decodes a received track to its end."""
    try:
        while True:
            await track.recv()
            counts[track.kind] += 1
    except MediaStreamError:
        pass


async def report() -> None:
    """Prints the counts each second."""
    while True:
        print(json.dumps(counts), flush=True)
        await asyncio.sleep(1)


async def main(role: str, url: str) -> None:
    """Runs until stdin ends."""
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    connection = RTCPeerConnection()
    connection.on("track", lambda track: readers.add(asyncio.create_task(read(track))))
    if role == "publish":
        connection.addTrack(AudioStreamTrack())
        connection.addTrack(VideoStreamTrack())
    else:
        connection.addTransceiver("audio", direction="recvonly")
        connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        headers = {"Content-Type": "application/sdp"}
        async with http.post(url, data=connection.localDescription.sdp, headers=headers) as response:
            session_url = urljoin(url, response.headers["Location"])
            answer = RTCSessionDescription(await response.text(), "answer")
        await connection.setRemoteDescription(answer)
        reporter = asyncio.create_task(report())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        reporter.cancel()
        async with http.delete(session_url) as response:
            print(json.dumps({"deleted": response.status}), flush=True)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
