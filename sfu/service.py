"""The asyncio side of the media server: its UDP sockets, the one timer, and the way from a datagram to its connection.

STUN finds a transport by our username fragment (RFC 8445 §7.3), everything after that by the 5-tuple, in `sfu.forward`.
The service owns the sockets, the forwarder, the registry of transports and the counters; rooms hang off it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from sfu.bandwidth import ProbeResult
from sfu.counters import Counters
from sfu.forward import DURATION_BOUNDS, Event, Forwarder, Slot, Stream, Transport
from sfu.ice_lite import Address, Credentials, Outcome, local_ufrag
from sfu.publication import PublishConnection
from sfu.publish_answer import Source
from sfu.router import MediaPeer, MediaRoom, RoomSettings
from sfu.subscription import SubscribeConnection
from sfu.timers import Timed, Timers
from sfu.transport import NEVER, RTCP_NAMES, PeerTransport, State
from sfu.uplink import Uplink
from wire import memory, stun, udp
from wire.dtls import DtlsContext
from wire.measure import Histogram, Measure
from wire.stun import StunError
from wire.udp import UdpSocket

TICK_SECONDS = 0.02
UFRAG_CHARACTERS = 8  # 47 bits (RFC 8445 §5.3 wants 24)
PASSWORD_CHARACTERS = 24
RECEIVE_BUFFER_BYTES = 8 << 20
HEADER_BYTES = 28  # IPv4 and UDP
TRIM_SECONDS = 10.0  # between returns of memory to the system ...
TRIM_CONNECTIONS = 32  # ... after so many have let go of theirs
_ICE_CHARACTERS = string.ascii_letters + string.digits
_SRTP_ERRORS = ("authentication", "replay", "protect", "no_keys")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SfuSettings:
    """What the media server is told."""

    port: int
    """UDP port of all media, 0: any."""
    uplink_bps: int = 0
    """What media may take of the host's uplink, headers included; 0: unlimited."""
    relay_ports: tuple[int, int] = (0, -1)
    """Our own TURN relay range: a peer there, at one of our addresses, is counted as relayed."""


def random_token(characters: int) -> str:
    """Unguessable text of ICE characters."""
    return "".join(secrets.choice(_ICE_CHARACTERS) for _ in range(characters))


class SfuService:
    """Implements `sfu.endpoint.Endpoint`."""

    def __init__(
        self,
        settings: SfuSettings,
        *,
        loop: asyncio.AbstractEventLoop,
        token: Callable[[int], str] = random_token,
        dtls: DtlsContext | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.streams: dict[Stream, PublishConnection] = {}
        self.peers: set[MediaPeer] = set()
        self.uplink = Uplink(self.peers, settings.uplink_bps)
        self._loop = loop
        self._token = token
        self._dtls = dtls or DtlsContext()
        self.now = clock or loop.time  # monotonic seconds
        self._forwarder = Forwarder(self._on_events, clock)
        self._forwarder.set_uplink(settings.uplink_bps)
        self._sockets: list[UdpSocket] = []
        self._timers = Timers()
        self._transports: dict[str, PeerTransport] = {}  # by local username fragment
        self._addresses: tuple[str, ...] = ()
        self._tick: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None  # while video waits
        self._port = settings.port
        self._trimmed, self._trim_at = 0, 0.0
        self._closed = False

    # Life.

    async def start(self) -> None:
        """Opens the port on all IPv4 and, where there is any, IPv6 addresses; OSError."""
        first = self._open("0.0.0.0", self.settings.port)
        self._port = first.local_address[1]
        try:
            self._open("::", self._port)
        except OSError as error:
            _log.info("no media over IPv6: %s", error)

    def _open(self, host: str, port: int) -> UdpSocket:
        socket = UdpSocket(
            self._loop,
            (host, port),
            self._forwarder,
            component="sfu",
            receive_buffer_bytes=RECEIVE_BUFFER_BYTES,
        )
        self._forwarder.attach(socket)
        self._sockets.append(socket)
        return socket

    def set_candidates(self, addresses: Sequence[str]) -> None:
        """The IPs announced to clients from now on, best first."""
        self._addresses = tuple(addresses)

    def room(self, settings: RoomSettings | None = None) -> MediaRoom:
        """A new, empty room."""
        return MediaRoom(self, settings)

    def set_uplink(self, bps: int) -> None:
        """Another budget of the host's uplink from now on; 0: unlimited."""
        self.uplink.set_budget(bps, self.now())
        self._forwarder.set_uplink(bps)

    async def close(self) -> None:
        """Ends every connection and closes the port."""
        self._closed = True
        for timed in list(self._timers.members):
            if isinstance(timed, MediaRoom):
                timed.close()
        for timer in (self._tick, self._drain_timer):
            if timer is not None:
                timer.cancel()
        self._tick = self._drain_timer = None
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()

    # sfu.endpoint.Endpoint.

    @property
    def port(self) -> int:
        """The port of all media."""
        return self._port

    def session_id(self) -> int:
        """A random number for an o= line (RFC 8829 §5.2.1: 62 bits)."""
        return int.from_bytes(self._token(8).encode()[:8], "big") >> 1

    def transport(self) -> PeerTransport:
        """A new transport with fresh credentials."""
        path = self._forwarder.transport()
        transport = PeerTransport(path, self._dtls, self._transports, self.counters, self._credentials, self.now())
        path.owner = transport
        return transport

    def _credentials(self) -> Credentials:
        return Credentials(self._token(UFRAG_CHARACTERS), self._token(PASSWORD_CHARACTERS))

    def addresses(self, extra: Sequence[str]) -> list[str]:
        """Candidate addresses, best first, those of families we listen on."""
        families = {6 if ":" in socket.local_address[0] else 4 for socket in self._sockets}
        result = []
        for address in dict.fromkeys((*self._addresses, *extra)):
            try:
                version = ipaddress.ip_address(address).version
            except ValueError:
                continue
            if version in families:
                result.append(address)
        return result

    def watch(self, timed: Timed) -> None:
        """Wakes it from now on."""
        self._timers.add(timed)
        if self._tick is None and not self._closed:
            self._tick = self._loop.call_later(TICK_SECONDS, self._on_tick)

    def unwatch(self, timed: Timed) -> None:
        """No longer."""
        self._timers.remove(timed)

    def _on_tick(self) -> None:
        self._tick = None
        now = self.now()
        if now >= self.uplink.measure_at:
            self.uplink.measure(self._sent_bytes(), now)
        for timed in self._timers.due(now):
            if timed in self._timers.members:
                self._wake(timed, now)
                self._timers.enter(timed)
        if self.uplink.wake_at <= now:
            self._wake(self.uplink, now)
        if now >= self._trim_at and self.counters.dtls_rested - self._trimmed >= TRIM_CONNECTIONS:
            self._trimmed, self._trim_at = self.counters.dtls_rested, now + TRIM_SECONDS
            memory.give_back()
        if self._timers.members and not self._closed:
            self._tick = self._loop.call_later(TICK_SECONDS, self._on_tick)

    def _wake(self, timed: Timed | Uplink, now: float) -> None:
        try:
            timed.handle_timer(now)
        except Exception:
            timed.wake_at = now + 1.0
            _log.exception("a media timer failed")

    def _sent_bytes(self) -> int:
        """Of media, down to the IP header."""
        path = self._forwarder.counters()
        return sum(
            path[f"bytes_out_{kind}"] + HEADER_BYTES * path[f"packets_out_{kind}"] for kind in ("audio", "video")
        )

    # Events of the data path.

    def _on_events(self, events: list[tuple[object, ...]]) -> None:
        now = self.now()
        for event in events:
            try:
                self._handlers[cast("Event", event[0])](self, event, now)
            except Exception:
                _log.exception("a media event failed")

    def _on_stun(self, event: tuple[object, ...], now: float) -> None:
        _, socket, data, source, local = cast("tuple[Event, UdpSocket, bytes, Address, Address]", event)
        outcome = Outcome.MALFORMED
        try:
            message = stun.parse(data)
        except StunError:
            pass
        else:
            transport = self._transports.get(local_ufrag(message) or "")
            outcome = Outcome.UNKNOWN
            if transport is not None:
                outcome = transport.receive_check(message, source, local, socket, now)
        self.counters.ice_messages[outcome] += 1

    def _on_dtls(self, event: tuple[object, ...], now: float) -> None:
        path = cast("Transport | None", event[1])
        if path is not None and isinstance(path.owner, PeerTransport):
            path.owner.receive_dtls(cast("bytes", event[2]), now)
        else:
            self.counters.ice_messages["dtls-unchecked"] += 1

    def _on_rtcp(self, event: tuple[object, ...], now: float) -> None:
        owner = cast("Transport", event[1]).owner
        if isinstance(owner, PeerTransport):
            owner.receive_rtcp(cast("bytes", event[2]), now, cast("float", event[3]))

    def _on_unknown_ssrc(self, event: tuple[object, ...], now: float) -> None:
        _, path, ssrc, payload_type, mid, rid, repaired = cast(
            "tuple[Event, Transport, int, int, str | None, str | None, str | None]", event
        )
        owner = path.owner
        connection = owner.owner if isinstance(owner, PeerTransport) else None
        if isinstance(connection, PublishConnection) and not connection.unknown_ssrc(
            ssrc, payload_type, mid, rid, repaired, now
        ):
            self.counters.unbound_ssrcs += 1

    def _on_keyframe_needed(self, event: tuple[object, ...], now: float) -> None:
        stream = cast("Stream", event[1])
        connection = self.streams.get(stream)
        if connection is not None:
            connection.request_keyframe(stream, now)

    def _on_switched(self, event: tuple[object, ...], now: float) -> None:
        slot = cast("Slot", event[1])
        owner = slot.transport.owner
        connection = owner.owner if isinstance(owner, PeerTransport) else None
        if isinstance(connection, SubscribeConnection):
            connection.switched(slot.ssrc, now)

    def _on_lost(self, event: tuple[object, ...], now: float) -> None:
        stream, numbers = cast("tuple[Stream, list[int]]", event[1:])
        connection = self.streams.get(stream)
        if connection is not None:
            connection.lost(stream, numbers, now)

    def _on_feedback(self, event: tuple[object, ...], now: float) -> None:
        owner = cast("Transport", event[1]).owner
        connection = owner.owner if isinstance(owner, PeerTransport) else None
        if isinstance(connection, SubscribeConnection):
            connection.feedback_received(now)

    def _on_waiting(self, event: tuple[object, ...], now: float) -> None:
        del event
        wake_at = self._forwarder.drain_at
        if self._drain_timer is None and wake_at < NEVER and not self._closed:
            self._drain_timer = self._loop.call_later(max(0.001, wake_at - now), self._drain)

    def _drain(self) -> None:
        self._drain_timer = None
        now = self.now()
        self._forwarder.drain(now)
        self._on_waiting((), now)

    def _on_uplink_full(self, event: tuple[object, ...], now: float) -> None:
        """More is sent than was given away: everybody's share is looked at anew."""
        del event
        self.uplink.full(now)

    _handlers = {  # noqa: RUF012
        Event.STUN: _on_stun,
        Event.DTLS: _on_dtls,
        Event.RTCP: _on_rtcp,
        Event.UNKNOWN_SSRC: _on_unknown_ssrc,
        Event.KEYFRAME_NEEDED: _on_keyframe_needed,
        Event.SWITCHED: _on_switched,
        Event.LOST: _on_lost,
        Event.FEEDBACK: _on_feedback,
        Event.WAITING: _on_waiting,
        Event.UPLINK_FULL: _on_uplink_full,
    }

    # Measures.

    def _forward_seconds(self) -> Histogram:
        histogram = Histogram(DURATION_BOUNDS)
        histogram.counts, histogram.sum = self._forwarder.durations()
        return histogram

    def measures(self) -> Iterator[Measure]:
        """Everything the exporter shows of the media server."""
        counters = self.counters
        for result in ("connected", "failed"):
            yield Measure("ice_connections_total", {"result": result}, counters.ice_connections[result])
        for result in ("started", "succeeded"):
            yield Measure("ice_restarts_total", {"result": result}, counters.ice_restarts[result])
        for result in ("connected", "failed", "fingerprint"):
            yield Measure("dtls_handshakes_total", {"result": result}, counters.dtls_handshakes[result])
        yield Measure("ice_connect_seconds", {}, counters.ice_connect_seconds)
        yield Measure("dtls_handshake_seconds", {}, counters.dtls_handshake_seconds)
        yield Measure("first_frame_seconds", {}, counters.first_frame_seconds)
        yield Measure("forward_seconds", {}, self._forward_seconds())
        yield Measure("rtp_jitter_seconds", {}, counters.jitter_seconds)
        yield Measure("rtp_rtt_seconds", {}, counters.rtt_seconds)
        yield Measure("uplink_budget_bytes_per_second", {}, self.uplink.budget_bps / 8)
        yield Measure("uplink_used_bytes_per_second", {}, self.uplink.used_bps / 8)
        for switch in ("up", "down"):
            yield Measure("layer_switches_total", {"direction": switch}, counters.layer_switches[switch])
        for result in ProbeResult:
            yield Measure("downlink_probes_total", {"result": result.value}, counters.probes[result])
        yield Measure("downlink_estimate_bytes_per_second", {}, counters.estimate_bytes_per_second)
        for name in (*RTCP_NAMES.values(), "malformed"):
            read = self._forwarder.counters()["feedbacks"] if name == "transport-cc" else counters.rtcp_in[name]
            yield Measure("rtcp_messages_total", {"direction": "in", "type": name}, read)
            yield Measure("rtcp_messages_total", {"direction": "out", "type": name}, counters.rtcp_out[name])
        yield from self._path_measures()
        yield from self._connection_measures()

    def _path_measures(self) -> Iterator[Measure]:
        path = self._forwarder.counters()
        for kind in ("audio", "video"):
            for direction in ("in", "out"):
                labels = {"direction": direction, "kind": kind}
                yield Measure("rtp_packets_total", labels, path.get(f"packets_{direction}_{kind}", 0))
                yield Measure("rtp_bytes_total", labels, path.get(f"bytes_{direction}_{kind}", 0))
                yield Measure("rtp_lost_packets_total", labels, self.counters.lost[direction, kind])
        yield Measure("rtp_retransmitted_packets_total", {}, path.get("retransmitted", 0))
        yield Measure("rtp_padding_packets_total", {}, path.get("padding_packets", 0))
        yield Measure("rtp_padding_bytes_total", {}, path.get("padding_bytes", 0))
        for reason in _SRTP_ERRORS:
            yield Measure("srtp_errors_total", {"reason": reason}, path.get(f"dropped_{reason}", 0))
        for name, count in path.items():
            reason = name.removeprefix("dropped_")
            if reason != name and reason not in _SRTP_ERRORS:
                yield Measure("sfu_dropped_packets_total", {"reason": reason}, count)
        for outcome in (*(each for each in Outcome if each is not Outcome.OK), "dtls-unchecked"):
            reason = f"stun_{outcome}".replace("-", "_") if isinstance(outcome, Outcome) else "dtls_unchecked"
            yield Measure("sfu_dropped_packets_total", {"reason": reason}, self.counters.ice_messages[outcome])
        yield Measure("sfu_dropped_packets_total", {"reason": "unbound_ssrc"}, self.counters.unbound_ssrcs)

    def _connection_measures(self) -> Iterator[Measure]:
        paths = {"direct": 0, "relay": 0}
        for transport in {id(each): each for each in self._transports.values()}.values():
            selected = transport.path.selected()
            if transport.state is State.CONNECTED and selected is not None:
                paths["relay" if self._is_own_relay(selected[0]) else "direct"] += 1
        for name, count in paths.items():
            yield Measure("ice_selected_pairs", {"path": name}, count)
        yield from self._track_measures()

    def _track_measures(self) -> Iterator[Measure]:
        paused = Counter({"muted": 0, "codec": 0, "hidden": 0, "link": 0, "uplink": 0, "place": 0})
        tracks = {(direction, source): 0 for direction in ("in", "out") for source in Source}
        for timed in self._timers.members:
            if isinstance(timed, PublishConnection):
                for publication in timed.publications.values():
                    tracks["in", publication.source] += 1
            elif isinstance(timed, SubscribeConnection):
                paused.update(timed.paused())
                for view in timed.views():
                    tracks["out", view.source] += 1
        for reason, count in paused.items():
            yield Measure("paused_subscriptions", {"reason": reason}, count)
        for (direction, source), count in tracks.items():
            kind = "audio" if source.audio else "video"
            yield Measure("tracks", {"direction": direction, "kind": kind, "source": source.value}, count)

    def _is_own_relay(self, remote: Address) -> bool:
        low, high = self.settings.relay_ports
        return low <= remote[1] <= high and remote[0] in udp.own_addresses()
