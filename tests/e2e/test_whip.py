"""Others' clients over WHIP and WHEP in a real room: GStreamer, aiortc, and browsers with a few lines of fetch."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browsers import Chromium, Firefox
from tests.e2e.call import Person, until
from tests.e2e.conftest import DAEMON_ADDRESS, Scene
from tests.e2e.daemon import REPOSITORY, Daemon, total
from tests.e2e.network import Host

pytestmark = [
    pytest.mark.browser,
    pytest.mark.netns,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.usefixtures("kept"),
]
CLIENTS = Path(__file__).parent / "clients"
ORIGIN = f"https://{DAEMON_ADDRESS}:8443"
GSTREAMER = ("/usr/bin/python3", str(CLIENTS / "gstreamer_whip.py"))  # the system's has Debian's bindings
RESTARTED = 'turnd_ice_restarts_total{result="succeeded"}'
AIORTC = (sys.executable, "-W", "error::UserWarning", str(CLIENTS / "aiortc_whip.py"))

# In a page: a publisher or a player, and what it says about itself.
PAGE = """
window.exchange = async (role, url) => {
  const connection = window.connection = new RTCPeerConnection();
  if (role === 'publish') {
    const media = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 480}});
    for (const track of media.getTracks())
      connection.addTransceiver(track, {direction: 'sendonly', streams: [media]});
  } else {
    connection.ontrack = ({track}) => document.body.append(Object.assign(
      document.createElement(track.kind), {autoplay: true, srcObject: new MediaStream([track])}));
    connection.addTransceiver('audio', {direction: 'recvonly'});
    connection.addTransceiver('video', {direction: 'recvonly'});
  }
  await connection.setLocalDescription();
  const answer = await fetch(url, {
    method: 'POST', body: connection.localDescription.sdp, headers: {'Content-Type': 'application/sdp'}});
  window.session = new URL(answer.headers.get('Location'), answer.url).href;
  window.etag = answer.headers.get('ETag');
  window.links = answer.headers.get('Link');
  await connection.setRemoteDescription({type: 'answer', sdp: await answer.text()});
  return answer.status;
};
window.restart = async () => {
  const connection = window.connection;
  await connection.setLocalDescription(await connection.createOffer({iceRestart: true}));
  const line = (name) => new RegExp(`a=${name}:.*`).exec(connection.localDescription.sdp)[0];
  const answer = await fetch(window.session, {
    method: 'PATCH', body: `${line('ice-ufrag')}\\r\\n${line('ice-pwd')}\\r\\n`,
    headers: {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'}});
  const fragment = await answer.text();
  const value = (name) => new RegExp(`a=${name}:(.*)`).exec(fragment)[1].trim();
  const sdp = connection.remoteDescription.sdp
    .replace(/a=ice-ufrag:.*/g, `a=ice-ufrag:${value('ice-ufrag')}`)
    .replace(/a=ice-pwd:.*/g, `a=ice-pwd:${value('ice-pwd')}`);
  await connection.setRemoteDescription({type: 'answer', sdp});
  return [answer.status, answer.headers.get('ETag') !== window.etag];
};
window.counts = async () => {
  const counts = {video: 0, audio: 0, sent: 0};
  for (const report of (await window.connection.getStats()).values()) {
    if (report.type === 'inbound-rtp' && report.kind === 'video') counts.video += report.framesDecoded ?? 0;
    if (report.type === 'inbound-rtp' && report.kind === 'audio') counts.audio += report.totalSamplesReceived ?? 0;
    if (report.type === 'outbound-rtp') counts.sent += report.packetsSent;
  }
  return counts;
};
window.end = async () => (await fetch(window.session, {method: 'DELETE'})).status;
"""

Report = dict[str, Any]


class Stranger:
    """A client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def report(self) -> Report:
        """What it says next."""
        assert self.process.stdout
        line = await asyncio.wait_for(self.process.stdout.readline(), 20)
        assert line, "the client ended"
        return dict(json.loads(line))

    async def plays(self) -> None:
        """Awaits that picture and sound rise three times in a row."""
        previous, rising = await self.report(), 0
        async with asyncio.timeout(30):
            while rising < 3:
                report = await self.report()
                more = report["video"] > previous["video"] and report["audio"] > previous["audio"]
                previous, rising = report, rising + 1 if more else 0

    async def end(self) -> int:
        """What its DELETE is answered with."""
        assert self.process.stdin
        self.process.stdin.close()
        while "deleted" not in (report := await self.report()):
            pass
        return int(report["deleted"])


@asynccontextmanager
async def stranger(host: Host, *command: str) -> AsyncIterator[Stranger]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*host.command(*command), stdin=pipe, stdout=pipe, cwd=REPOSITORY)
    try:
        yield Stranger(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def rises(count: Callable[[], Awaitable[int]], what: str) -> None:
    """Awaits that a number in a page rises by itself."""
    first = await count()

    async def probe() -> bool:
        return await count() > first + 10

    await until(what, probe, 20)


@pytest.mark.parametrize(
    ("client", "options"),
    [
        pytest.param(GSTREAMER, ("--codec", "vp8"), id="gstreamer-vp8"),
        pytest.param(GSTREAMER, ("--codec", "h264"), id="gstreamer-h264"),
        pytest.param(AIORTC, (), id="aiortc"),
    ],
)
async def test_a_strangers_client_publishes_and_plays_beside_a_browser(
    scene: Scene, client: tuple[str, ...], options: tuple[str, ...]
) -> None:
    room, daemon, lan = f"{ORIGIN}/r/stage", scene.daemon, scene.lan
    ada = await scene.person("Ada", Chromium, "c")
    async with stranger(lan["a"], *client, "publish", f"{room}/whip", *options) as publisher:
        await until("the publisher is in the room", lambda: _sessions(daemon, "whip"), 10)
        async with stranger(lan["b"], *client, "play", f"{room}/whep") as player:
            await ada.join(room)
            await ada.sees_others(1)
            await player.plays()
            assert await player.end() == 200
        assert await publisher.end() == 200
    samples = await daemon.metrics()
    assert total(samples, r"turnd_wh[ie]p_sessions") == 0
    assert samples['turnd_participants{role="speaker"}'] + samples['turnd_participants{role="host"}'] == 1
    await leave(ada, daemon)


async def leave(person: Person, daemon: Daemon) -> None:
    """The last one goes, and with them the room."""
    await person.browser.open("about:blank")

    async def empty() -> bool:
        return (await daemon.metrics())["turnd_rooms"] == 0

    await until("the room is gone", empty, 5)


async def test_who_is_alone_on_the_page_is_sent_again_when_a_player_comes(scene: Scene) -> None:
    """The page's layers that nobody watches are off; a player that says nothing of tiles wants all."""
    room, daemon, lan = f"{ORIGIN}/r/stage", scene.daemon, scene.lan
    ada = await scene.person("Ada", Chromium, "c")
    await ada.join(room)
    await until("Ada is in the room", lambda: _host(daemon), 20)
    async with stranger(lan["b"], *GSTREAMER, "play", f"{room}/whep", "--token", "none") as player:
        await player.plays()
        await until("the player is shown", lambda: _speakers(daemon), 10)
        player.process.kill()  # without a word: DTLS is not closed, checks end
        await until("its seat ends without it", lambda: _nobody_else(daemon), 45)
    await leave(ada, daemon)


async def _host(daemon: Daemon) -> bool:
    return (await daemon.metrics())['turnd_participants{role="host"}'] == 1


async def _speakers(daemon: Daemon) -> bool:
    return (await daemon.metrics())['turnd_participants{role="speaker"}'] == 1


async def _nobody_else(daemon: Daemon) -> bool:
    return not await _speakers(daemon) and await _host(daemon)


async def _sessions(daemon: Daemon, kind: str) -> float:
    return (await daemon.metrics())[f"turnd_{kind}_sessions"]


@pytest.mark.parametrize("engine", [Chromium, Firefox])
async def test_browsers_publish_and_play_and_restart_ice_by_fetch(
    scene: Scene, engine: type[Chromium] | type[Firefox]
) -> None:
    daemon = scene.daemon
    publisher, player = await scene.person("publisher", engine, "a"), await scene.person("player", engine, "b")
    before = (await daemon.metrics())[RESTARTED]
    for one, role, path in ((publisher, "publish", "whip"), (player, "play", "whep")):
        await one.browser.open(f"{ORIGIN}/")
        await one.browser.evaluate(f"(() => {{ {PAGE} }})()")
        assert await one.browser.evaluate(f"exchange('{role}', '/r/stage/{path}')") == 201
        assert 'rel="ice-server"' in await one.browser.evaluate("links")

    async def frames() -> int:
        return int((await player.browser.evaluate("counts()"))["video"])

    async def samples() -> int:
        return int((await player.browser.evaluate("counts()"))["audio"])

    await rises(frames, "pictures come")
    await rises(samples, "sound comes")
    for one in (publisher, player):
        assert await one.browser.evaluate("restart()") == [200, True]
    await rises(frames, "pictures come after the restarts")

    async def restarted() -> bool:
        return (await daemon.metrics())[RESTARTED] == before + 2

    await until("both restarts succeed", restarted, 10)
    assert [await one.browser.evaluate("end()") for one in (player, publisher)] == [200, 200]
    assert (await daemon.metrics())["turnd_rooms"] == 0
