"""A participant as a browser with the page: simulcast, its tiles told to the server, layers switched off as asked."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.media import FAULTS, Engine, Layer, Report
from benchmarks.participant import Credentials, Participant, Transport, check_request, connect, sdp_head

# The page in a window of 1280x720: what its header and controls leave, the gap and least width of tiles (stage.js).
STAGE_WIDTH, STAGE_HEIGHT, GAP, MIN_WIDTH = 1256, 570, 10, 156
RATIO = 16 / 9
STEP = 16
SIMULCAST = (("q", 320, 180, 120_000), ("h", 640, 360, 350_000), ("f", 1280, 720, 1_200_000))
MIDS = ("0", "1")
VIDEO_TYPE, RTX_TYPE, AUDIO_TYPE = 96, 97, 111
EXTENSIONS = {  # as in rtp.h
    "audio": ((1, "ssrc-audio-level"), (3, None), (4, "sdes:mid")),
    "video": ((3, None), (4, "sdes:mid"), (10, "sdes:rtp-stream-id"), (11, "sdes:repaired-rtp-stream-id")),
}
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
FEEDBACK = ("transport-cc", "ccm fir", "nack", "nack pli")


def tile_width(tiles: int) -> int:
    """Width of each of so many equal tiles on the stage, by the page's rules (layout.js)."""
    best, area = 0.0, -1.0
    for columns in range(1, tiles + 1):
        rows = math.ceil(tiles / columns)
        width = (STAGE_WIDTH - GAP * (columns - 1)) / columns
        height = (STAGE_HEIGHT - GAP * (rows - 1)) / rows
        shown = min(width, height * RATIO)
        if height > 0 and shown * shown > area * 1.001:
            best, area = shown, shown * shown
    return math.floor(best) if best >= MIN_WIDTH else MIN_WIDTH


def stepped(side: float) -> int:
    """Sizes are told in steps (view-report.js)."""
    return math.ceil(side / STEP) * STEP


def publish_offer(layers: Sequence[Layer], credentials: Credentials) -> str:
    """Opus and VP8 in layers, as Chromium writes it."""
    text = sdp_head(list(MIDS))
    for mid, kind in zip(MIDS, ("audio", "video"), strict=True):
        types = f"{VIDEO_TYPE} {RTX_TYPE}" if kind == "video" else str(AUDIO_TYPE)
        text += f"m={kind} 9 UDP/TLS/RTP/SAVPF {types}\nc=IN IP4 0.0.0.0\na=mid:{mid}\na=sendonly\na=rtcp-rsize\n"
        text += credentials.lines("actpass")
        for number, name in EXTENSIONS[kind]:
            text += f"a=extmap:{number} {f'urn:ietf:params:rtp-hdrext:{name}' if name else TRANSPORT_CC}\n"
        if kind == "audio":
            text += f"a=rtpmap:{AUDIO_TYPE} opus/48000/2\na=fmtp:{AUDIO_TYPE} minptime=10;useinbandfec=1\n"
            text += f"a=rtcp-fb:{AUDIO_TYPE} transport-cc\na=ssrc:{layers[0].ssrc} cname:bench\n"
            continue
        text += f"a=rtpmap:{VIDEO_TYPE} VP8/90000\na=rtpmap:{RTX_TYPE} rtx/90000\na=fmtp:{RTX_TYPE} apt={VIDEO_TYPE}\n"
        text += "".join(f"a=rtcp-fb:{VIDEO_TYPE} {each}\n" for each in FEEDBACK)
        rids = [layer.rid for layer in layers[1:]]
        text += "".join(f"a=rid:{rid} send\n" for rid in rids) + f"a=simulcast:send {';'.join(rids)}\n"
    return text.replace("\n", "\r\n")


@dataclass
class OfferedSlot:
    """An m-line of the server's offer."""

    mid: str
    kind: str
    ssrc: int
    rtx_ssrc: int
    number: int = -1
    participant: str = ""
    source: str = ""
    since: float = 0.0
    until_picture: list[float] = field(default_factory=list)


def read_offer(offer: str) -> list[OfferedSlot]:
    """The m-lines, in order."""
    slots = []
    for section in re.split(r"(?m)^(?=m=)", offer.replace("\r\n", "\n"))[1:]:
        ssrcs = [int(each) for each in dict.fromkeys(re.findall(r"a=ssrc:(\d+) ", section))]
        group = re.search(r"a=ssrc-group:FID (\d+) (\d+)", section)
        main, rtx = (int(group[1]), int(group[2])) if group else (ssrcs[0], 0)
        mid = re.search(r"a=mid:(\S+)", section)
        assert mid
        slots.append(OfferedSlot(mid[1], section[2:7], main, rtx))
    return slots


def subscribe_answer(offer: str, credentials: Credentials) -> str:
    """Accepts every m-line with VP8 and its RTX, or Opus, and all extensions."""
    text = sdp_head([slot.mid for slot in read_offer(offer)])
    for section in re.split(r"(?m)^(?=m=)", offer.replace("\r\n", "\n"))[1:]:
        kind, mid = section[2:7], re.search(r"a=mid:(\S+)", section)
        codec = re.search(rf"a=rtpmap:(\d+) {'VP8/90000' if kind == 'video' else 'opus/48000/2'}", section)
        assert mid
        assert codec
        rtx = re.search(rf"a=fmtp:(\d+) apt={codec[1]}\b", section)
        types = [codec[1], *([rtx[1]] if rtx else [])]
        text += f"m={kind} 9 UDP/TLS/RTP/SAVPF {' '.join(types)}\nc=IN IP4 0.0.0.0\na=mid:{mid[1]}\na=recvonly\n"
        text += credentials.lines("active") + "a=rtcp-rsize\n"
        for line in re.findall(r"a=(?:extmap:.*|(?:rtpmap|rtcp-fb|fmtp):.*)", section):
            number = re.match(r"a=(?:rtpmap|rtcp-fb|fmtp):(\d+)", line)
            if (not number or number[1] in types) and "abs-send-time" not in line and "goog-remb" not in line:
                text += line + "\n"
    return text.replace("\n", "\r\n")


class Attendee(Participant):
    """Joins, publishes, subscribes, sees everybody in a grid, or in tiles of the size `shown`.

    `number` tells its packets from those of others. An attendee in the audience sees the stage alone.
    """

    def __init__(
        self, http: aiohttp.ClientSession, url: str, number: int, engine: Engine, shown: tuple[int, int] | None = None
    ) -> None:
        super().__init__(http, url, f"attendee {number}")
        self.number, self.engine, self.shown = number, engine, shown
        self.check_every, self.measured = 0, True
        self.id = ""
        self.opened_at = 0.0
        self.slots: dict[str, OfferedSlot] = {}
        self.people: set[str] = set()
        self.settings: dict[str, Any] = {}
        self.received: list[dict[str, Any]] = []
        self.estimate_kbps = 0
        self.publishing = self.subscribing = -1
        self.layers: list[Layer] = []
        self.active: dict[str, bool] = {}
        self.closed_because = ""
        self._viewed: object = None

    async def enter(self, *, settings: dict[str, object] | None = None, subscribe: bool = True) -> None:
        """Opens the socket and takes a seat."""
        self.opened_at = time.time()
        joined = await self.join(subscribe=subscribe, settings=settings)
        self.id = str(joined["self"])
        self.settings = joined
        people: Any = joined["participants"]
        self.people = {each["id"] for each in people if each.get("role") != "viewer"}
        await self.look()

    async def show(self, simulcast: Sequence[tuple[str, int, int, int]] = SIMULCAST) -> None:
        """Publishes microphone and camera."""
        numbers = iter(secrets.randbits(31) | 1 for _ in range(2 * len(simulcast) + 1))
        self.layers = [Layer("", next(numbers))]
        self.layers += [Layer(rid, next(numbers), next(numbers), *rest) for rid, *rest in simulcast]
        credentials = Credentials(self.context)
        tracks = [{"mid": "0", "source": "microphone"}, {"mid": "1", "source": "camera"}]
        reply = await self.request(
            {"type": "publish", "sdp": publish_offer(self.layers, credentials), "tracks": tracks}
        )
        answer = str(reply["sdp"])
        transport = await connect(answer, credentials)
        self.transports.append(transport)
        check = check_request(answer, credentials)
        self.publishing = self.engine.publish(transport, check, self.number, MIDS, self.layers)
        for rid, active in self.active.items():
            self._switch(rid, active=active)

    def talk(self, *, talking: bool) -> None:
        """Begins or ends speech."""
        if self.publishing >= 0:
            self.engine.talk(self.publishing, talking=talking)

    async def look(self) -> None:
        """Tells what is seen: everybody in equal tiles, our own picture among them when we publish."""
        width = tile_width(max(1, len(self.people) + (self.settings.get("role", "speaker") != "viewer")))
        shown = self.shown or (stepped(width), stepped(width / RATIO))
        tiles = [
            {"participant": each, "source": "camera", "width": shown[0], "height": shown[1]}
            for each in sorted(self.people)
        ]
        if tiles != self._viewed:
            self._viewed = tiles
            await self.socket.send_json({"type": "view", "tiles": tiles})

    async def told(self, message: dict[str, Any]) -> None:
        """What is no reply."""
        kind = message["type"]
        if kind == "slots":
            self._seat(message["slots"])
        elif kind == "participant":
            person = message["participant"]
            gone = message["event"] == "left" or person.get("role") == "viewer"
            (self.people.discard if gone else self.people.add)(person["id"])
            await self.look()
        elif kind == "wanted":
            for source in message["sources"]:
                if source["source"] == "camera":
                    for layer in source["layers"]:
                        self._switch(layer["rid"], active=layer["active"])
        elif kind == "received":
            self.received, self.estimate_kbps = message["streams"], message["estimate_kbps"]
        elif kind == "closing":
            self.closed_because = message["reason"]

    def _switch(self, rid: str, *, active: bool) -> None:
        self.active[rid] = active
        for number, layer in enumerate(self.layers):
            if layer.rid == rid and number and self.publishing >= 0:
                self.engine.activate(self.publishing, number, active=active)

    def _seat(self, listed: Sequence[dict[str, str]]) -> None:
        """Who is in which slot."""
        seats = {each["mid"]: (each["participant"], each["source"]) for each in listed}
        for mid, slot in self.slots.items():
            participant, source = seats.get(mid, ("", ""))
            if (participant, source) != (slot.participant, slot.source):
                slot.participant, slot.source, slot.since = participant, source, time.time()

    async def _answer(self, message: dict[str, Any]) -> None:
        offer = str(message["sdp"])
        sdp = subscribe_answer(offer, self._subscribe_credentials)
        for slot in read_offer(offer):
            self.slots.setdefault(slot.mid, slot)
        if self.subscribing >= 0:
            self._add_slots()
        await self.socket.send_json({"type": "answer", "sdp": sdp, "generation": message["generation"]})
        if not self._connecting:
            self._connecting.add(asyncio.create_task(self._subscribe(offer)))

    async def _subscribe(self, offer: str) -> None:
        transport: Transport = await connect(offer, self._subscribe_credentials)
        check = check_request(offer, self._subscribe_credentials)
        self.subscribing = self.engine.subscribe(transport, check)
        self.engine.follow(self.subscribing, check_every=self.check_every, measured=self.measured)
        self._add_slots()
        self.engine.begin(self.subscribing)
        self.subscribed.set_result(transport)

    def _add_slots(self) -> None:
        for slot in self.slots.values():
            if slot.number < 0:
                audio = slot.kind == "audio"
                slot.number = self.engine.slot(self.subscribing, slot.ssrc, slot.rtx_ssrc, audio=audio)

    def reports(self, kind: str, *, fresh: bool = False) -> list[tuple[OfferedSlot, Report]]:
        """What each slot with somebody in it has seen."""
        if self.subscribing < 0:
            return []
        seated = [slot for slot in self.slots.values() if slot.kind == kind and slot.participant and slot.number >= 0]
        return [(slot, self.engine.report(self.subscribing, slot.number, fresh=fresh)) for slot in seated]

    def faults(self) -> dict[str, int]:
        """What must not be, over all slots: packets altered, pictures or switches that a decoder would stumble on."""
        found = dict.fromkeys((*FAULTS, "bad"), 0)
        if self.subscribing < 0:
            return found
        for slot in self.slots.values():
            report = self.engine.report(self.subscribing, slot.number)
            for name in FAULTS:
                found[name] += getattr(report, name)
        found["bad"] = self.engine.traffic(self.subscribing).bad
        return found

    async def leave(self) -> None:
        """Goes, with its connections."""
        for index in (self.publishing, self.subscribing):
            if index >= 0:
                self.engine.leave(index)
        self.publishing = self.subscribing = -1
        await self.close()
