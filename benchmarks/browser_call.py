"""A call of four Chromium browsers on the page as it is: kB/s of each, and pictures against the tiles that show them.

Cameras are a film of 1280x720 at 30 frames a second, with motion and noise, which fills what each layer is allowed;
it is made by FFmpeg, the same each time. Bytes are those of the browsers' own statistics with IP and UDP headers added.
Writes docs/browser_call.json.

    .venv/bin/python -m benchmarks.browser_call [--people 4] [--settle 20] [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.daemon import HOST, HTTP_PORT, REPOSITORY, start_turnd
from benchmarks.plots import circumstances
from benchmarks.process import print_table, save
from tests.e2e.browsers import Chromium
from tests.e2e.call import Person

VIEWPORT = {"width": 1280, "height": 720}
FILM = "gradients=size=1280x720:rate={fps}:seed=7:speed=0.03:nb_colors=8,noise=alls={noise}:allf=t:all_seed=7"
FILM_SECONDS = 4
TARGET_KB = 200

# Bytes and packets of both connections, the layers sent, and each tile with the picture in it.
PROBE = """(async () => {
  const call = document.querySelector('turnd-call').call;
  const self = document.querySelector('turnd-call').dataset.self;
  const result = {sent: 0, received: 0, layers: {}, tiles: [], cpu: 0};
  for (const connection of [call.publishConnection, call.subscribeConnection]) {
    const report = [...(await connection.getStats()).values()];
    for (const each of report.filter(({type}) => type === 'transport')) {
      result.sent += each.bytesSent + 28 * each.packetsSent;
      result.received += each.bytesReceived + 28 * each.packetsReceived;
    }
    for (const each of report.filter(({type, kind}) => type === 'outbound-rtp' && kind === 'video'))
      result.layers[each.rid] = {active: each.active, width: each.frameWidth ?? 0, frames: each.framesEncoded ?? 0,
        limited: each.qualityLimitationReason};
    result.frames = (result.frames ?? 0) + report.filter(({type, kind}) => type === 'inbound-rtp' && kind === 'video')
      .reduce((sum, {framesDecoded}) => sum + (framesDecoded ?? 0), 0);
  }
  result.tiles = [...document.querySelectorAll('video[data-participant]')]
    .filter((video) => video.dataset.participant !== self && video.videoWidth > 0)
    .map((video) => ({shown: Math.round(video.clientWidth * devicePixelRatio), width: video.videoWidth}));
  return result;
})()"""


def make_film(path: Path, fps: int, noise: int) -> None:
    """The camera's pictures, as YUV4MPEG."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        FILM.format(fps=fps, noise=noise),
        "-t",
        str(FILM_SECONDS),
        "-pix_fmt",
        "yuv420p",
    ]
    subprocess.run([*command, str(path)], check=True)


async def call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Joins everybody, waits, measures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        film = folder / "camera.y4m"
        make_film(film, arguments.fps, arguments.noise)
        server = start_turnd(folder)
        stack.callback(server.stop)
        cameras = [
            f"--use-fake-device-for-media-stream=fps={arguments.fps}",
            f"--use-file-for-fake-video-capture={film}",
        ]
        people = []
        for number in range(arguments.people):
            browser = await Chromium.start(folder / str(number), arguments=cameras, viewport=VIEWPORT)
            stack.push_async_callback(browser.close)
            people.append(Person(f"person {number}", browser))
            await people[-1].join(f"http://{HOST}:{HTTP_PORT}/r/bench")
        for person in people:
            await person.sees_others(arguments.people - 1, 60)
        await asyncio.sleep(arguments.settle)
        before, cpu = [await person.browser.evaluate(PROBE) for person in people], server.cpu()
        await asyncio.sleep(arguments.seconds)
        after, used = [await person.browser.evaluate(PROBE) for person in people], server.cpu().since(cpu)
        return {
            "server_core": round(used.total / arguments.seconds, 3),
            "people": [figures(then, now, arguments.seconds) for then, now in zip(before, after, strict=True)],
        }


def figures(then: dict[str, Any], now: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Of one person."""
    tiles = max(1, len(now["tiles"]))
    layers = {
        rid: {**layer, "frames_per_s": round((layer["frames"] - then["layers"][rid]["frames"]) / seconds, 1)}
        for rid, layer in now["layers"].items()
    }
    return {
        "up_kb_per_s": round((now["sent"] - then["sent"]) / seconds / 1000, 1),
        "down_kb_per_s": round((now["received"] - then["received"]) / seconds / 1000, 1),
        "frames_per_s_of_a_tile": round((now["frames"] - then["frames"]) / seconds / tiles, 1),
        "tiles": now["tiles"],
        "layers": layers,
    }


async def main() -> None:
    """One call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--fps", type=int, default=30, help="of the cameras; fewer where two cores cannot encode more")
    parser.add_argument(
        "--noise", type=int, default=2, help="of the sensor; 10 is more than the encoders have bits for"
    )
    parser.add_argument("--settle", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "browser_call.json")
    arguments = parser.parse_args()
    result = await call(arguments)
    header = [
        "person",
        "up kB/s",
        "down kB/s",
        "within 200",
        "tiles: shown < width",
        "frames/s a tile",
        "layers sent: frames/s",
    ]
    rows = []
    for number, one in enumerate(result["people"]):
        large = (
            all(tile["width"] >= tile["shown"] for tile in one["tiles"]) and len(one["tiles"]) == arguments.people - 1
        )
        rows.append(
            [
                str(number + 1),
                f"{one['up_kb_per_s']}",
                f"{one['down_kb_per_s']}",
                "yes" if max(one["up_kb_per_s"], one["down_kb_per_s"]) <= TARGET_KB else "NO",
                ", ".join(f"{tile['shown']} < {tile['width']}" for tile in one["tiles"])
                + ("" if large else " TOO SMALL"),
                f"{one['frames_per_s_of_a_tile']}",
                ", ".join(f"{rid} {layer['frames_per_s']}" for rid, layer in sorted(one["layers"].items())),
            ]
        )
    print_table(header, rows)
    print(f"server: {result['server_core']:.1%} of a core")
    save(arguments.out, {**circumstances(), **result})


if __name__ == "__main__":
    asyncio.run(main())
