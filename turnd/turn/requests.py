"""What each TURN method does: one handler a method, the RFC's numbered steps as comments (RFC 8656 §7-§12).

Authentication (step 1 of each), retransmissions and unknown attributes are done before a handler is called. A handler
returns the attributes of the success answer, or raises `Refused`; a malformed value raises StunError, which means 400.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from turnd.turn.allocation import STREAMS, Allocation, AnyRelay, Flow, TcpRelay, lifetime_for
from turnd.turn.authentication import Identity, Refused
from turnd.turn.channel import Binding
from turnd.turn.peer_policy import Verdict, family_of
from turnd.turn.registry import Wanted
from wire import stun
from wire.stun import Attribute, Method

if TYPE_CHECKING:
    from turnd.turn.server import TurnServer

Attributes = list[tuple[int, bytes]]

UDP_PROTOCOL = 17
TCP_PROTOCOL = 6
UDP_ONLY = (Attribute.DONT_FRAGMENT, Attribute.EVEN_PORT, Attribute.RESERVATION_TOKEN)
FAMILY_NUMBERS: dict[int, int] = {stun.Family.IPV4: 4, stun.Family.IPV6: 6}
DRAFT_ADDITIONAL_ADDRESS_FAMILY = 0x8032  # its number before RFC 8656, which coturn and its clients kept
_FAMILY_VALUES = {4: stun.Family.IPV4, 6: stun.Family.IPV6}


class Request(NamedTuple):
    """An authenticated request; `allocation` is that of its 5-tuple."""

    message: stun.Message
    flow: Flow
    now: float
    identity: Identity
    allocation: Allocation | None

    def held(self) -> Allocation:
        """The allocation; Refused 437 without one, 441 when it is another user's (RFC 8656 §5)."""
        if self.allocation is None:
            raise Refused(437)
        if self.allocation.username != self.identity.username:
            raise Refused(441)
        return self.allocation

    def peers(self) -> list[tuple[str, int]]:
        """Every XOR-PEER-ADDRESS."""
        values = self.message.all(Attribute.XOR_PEER_ADDRESS)
        return [stun.decode_xor_address(value, self.message.transaction_id) for value in values]


def binding(message: stun.Message, flow: Flow) -> Attributes:
    """RFC 8489 §6.3.1; needs no credentials and keeps no state."""
    return [(Attribute.XOR_MAPPED_ADDRESS, stun.encode_xor_address(flow.client, message.transaction_id))]


def _wanted(message: stun.Message, *, tcp: bool) -> Wanted:
    """Steps 4 to 9 of RFC 8656 §7.2."""
    # 4. DONT-FRAGMENT is supported: data that would be fragmented is dropped.
    if (flag := message.get(Attribute.DONT_FRAGMENT)) is not None:
        stun.decode_flag(flag)
    # 5. RESERVATION-TOKEN excludes EVEN-PORT and a choice of family: 400.
    token, even_port = message.get(Attribute.RESERVATION_TOKEN), message.get(Attribute.EVEN_PORT)
    requested = message.get(Attribute.REQUESTED_ADDRESS_FAMILY)
    additional = message.get(Attribute.ADDITIONAL_ADDRESS_FAMILY)
    if additional is None:
        additional = message.get(DRAFT_ADDITIONAL_ADDRESS_FAMILY)
    if token is not None and {even_port, requested, additional} != {None}:
        raise Refused(400)
    # 6. REQUESTED-ADDRESS-FAMILY excludes ADDITIONAL-ADDRESS-FAMILY: 400.
    if requested is not None and additional is not None:
        raise Refused(400)
    # 7. A family there is not: 440.
    family = FAMILY_NUMBERS.get(stun.Family.IPV4 if requested is None else stun.decode_family(requested))
    if family is None:
        raise Refused(440)
    # 8. EVEN-PORT, with its R bit, asks for the next port too; not beside a second family: 400.
    reserve_next = even_port is not None and stun.decode_even_port(even_port)
    # 9. ADDITIONAL-ADDRESS-FAMILY asks for IPv6 beside IPv4, and can ask for nothing else: 400.
    if additional is not None and (reserve_next or stun.decode_family(additional) != stun.Family.IPV6):
        raise Refused(400)
    lifetime = message.get(Attribute.LIFETIME)
    return Wanted(
        (family,) if additional is None else (4, 6),
        even=even_port is not None,
        reserve_next=reserve_next,
        token=None if token is None else stun.decode_reservation_token(token),
        lifetime=lifetime_for(None if lifetime is None else stun.decode_lifetime(lifetime)),
        tcp=tcp,
    )


def allocate(server: TurnServer, request: Request) -> Attributes:
    """RFC 8656 §7.2."""
    message = request.message
    # 2. The 5-tuple has an allocation (a retransmission was answered before): 437.
    if request.allocation is not None:
        raise Refused(437)
    # 3. REQUESTED-TRANSPORT: absent or malformed 400, not UDP 442.
    transport = message.get(Attribute.REQUESTED_TRANSPORT)
    if transport is None:
        raise Refused(400)
    protocol = stun.decode_transport(transport)
    if protocol != UDP_PROTOCOL and not (protocol == TCP_PROTOCOL and server.tcp_relay):
        raise Refused(442)
    # (RFC 6062 §5.1: TCP is asked for over TCP or TLS, and without what only UDP has: 400)
    tcp = protocol == TCP_PROTOCOL
    if tcp and (request.flow.transport not in STREAMS or any(message.get(each) is not None for each in UDP_ONLY)):
        raise Refused(400)
    wanted = _wanted(message, tcp=tcp)
    # (an empty MOBILITY-TICKET asks for one: RFC 8016 §3.1.2)
    mobile = server.registry.mobility.wanted(message, tcp=tcp)
    # 10. A quota 486; no address of that family 440; no port, or an unknown token 508.
    if server.draining:
        raise Refused(508)
    allocation, token, failed = server.registry.allocate(request.flow, request.identity.username, wanted, request.now)
    transaction_id = message.transaction_id
    answer: Attributes = [
        (Attribute.XOR_RELAYED_ADDRESS, stun.encode_xor_address(each.address, transaction_id))
        for each in allocation.relays.values()
    ]
    # Who asked for two families and gets one is told why.
    for family, code in failed.items():
        answer.append((Attribute.ADDRESS_ERROR_CODE, stun.encode_address_error(_FAMILY_VALUES[family], code, b"")))
    answer.append((Attribute.LIFETIME, stun.encode_lifetime(wanted.lifetime)))
    if token is not None:
        answer.append((Attribute.RESERVATION_TOKEN, token))
    if mobile:
        answer.append((Attribute.MOBILITY_TICKET, server.registry.mobility.admit(allocation, request.now)))
    answer.append((Attribute.XOR_MAPPED_ADDRESS, stun.encode_xor_address(request.flow.client, transaction_id)))
    return answer


def refresh(server: TurnServer, request: Request) -> Attributes:
    """RFC 8656 §8.2, and with a MOBILITY-TICKET RFC 8016 §3.2.2."""
    ticket = request.message.get(Attribute.MOBILITY_TICKET)
    mobility = server.registry.mobility
    allocation = request.held() if ticket is None else mobility.claimed(request, ticket)
    # 1. REQUESTED-ADDRESS-FAMILY means the relayed address of that family (none: 443), its absence all of them.
    families = list(allocation.relays)
    requested = request.message.get(Attribute.REQUESTED_ADDRESS_FAMILY)
    if requested is not None:
        families = [family for family in families if family == FAMILY_NUMBERS.get(stun.decode_family(requested))]
        if not families:
            raise Refused(443)
    # 2. "desired lifetime" is 0: ports, and with the last one the 5-tuple, are free at once; else it begins anew.
    value = request.message.get(Attribute.LIFETIME)
    wanted = None if value is None else stun.decode_lifetime(value)
    lifetime = 0 if wanted == 0 else lifetime_for(wanted)
    answer: Attributes = [(Attribute.LIFETIME, stun.encode_lifetime(lifetime))]
    # (what goes on of an allocation goes to where its ticket was shown)
    if ticket is not None and (lifetime or len(families) < len(allocation.relays)):
        answer.append((Attribute.MOBILITY_TICKET, mobility.come(allocation, request, ticket)))
    if lifetime:
        server.registry.extend(allocation, families, request.now + lifetime)
    else:
        server.registry.release(allocation, request.now, families)
    return answer


def judge(server: TurnServer, allocation: Allocation, host: str) -> tuple[AnyRelay, Verdict]:
    """The relay for a peer and the policy's verdict; Refused 443 without one of its family, 403 for a denied peer."""
    relayed = allocation.relays.get(family_of(host))
    if relayed is None:
        raise Refused(443)
    verdict = server.verdict(host, relayed.relay)
    if not verdict.allowed:
        server.denied_peers[verdict.reason] += 1
        raise Refused(403)
    return relayed.relay, verdict


def create_permission(server: TurnServer, request: Request) -> Attributes:
    """RFC 8656 §10.2: all addresses or none."""
    allocation = request.held()
    # 1. At least one XOR-PEER-ADDRESS, all of them well-formed: 400.
    hosts = {host for host, _ in request.peers()}
    if not hosts:
        raise Refused(400)
    # 2. A family without a relayed address: 443. 3. Administrative policy: 403.
    verdicts = {host: judge(server, allocation, host) for host in hosts}
    # 4. Capacity: 508.
    if not allocation.permissions.room_for(hosts, request.now, server.limits.permissions):
        raise Refused(508)
    # 5. Install or refresh each; the port is ignored.
    for host, (relay, verdict) in verdicts.items():
        permitted_until = allocation.permissions.install(host, request.now)
        if not isinstance(relay, TcpRelay):  # which asks for each connection
            relay.permit(host, permitted_until, verdict.restricted)
    return []


def channel_bind(server: TurnServer, request: Request) -> Attributes:
    """RFC 8656 §12.2."""
    allocation, limits = request.held(), server.limits
    # 1. CHANNEL-NUMBER and XOR-PEER-ADDRESS are both there: 400.
    value = request.message.get(Attribute.CHANNEL_NUMBER)
    peers = request.peers()
    if value is None or not peers:
        raise Refused(400)
    number, address = stun.decode_channel(value), peers[0]
    # 2. The number is one of a channel: 400.
    if not stun.MIN_CHANNEL <= number <= limits.last_channel or not address[1]:
        raise Refused(400)
    # (the peer's family 443, policy 403; of our own addresses only open ports)
    relay, verdict = judge(server, allocation, address[0])
    if isinstance(relay, TcpRelay):  # (RFC 6062: its data has connections of its own: 400)
        raise Refused(400)
    if verdict.restricted and not server.host.is_open(address):
        server.denied_peers["port"] += 1
        raise Refused(403)
    # 3. The number is not bound to another peer, nor the peer to another number: 400. 4. Capacity: 508.
    outcome = allocation.channels.check(number, address, request.now, limits.channels)
    if outcome is Binding.CONFLICT:
        raise Refused(400)
    if outcome is Binding.FULL or not allocation.permissions.room_for({address[0]}, request.now, limits.permissions):
        raise Refused(508)
    # 5. Bind or refresh, and install or refresh the permission.
    permitted_until = allocation.permissions.install(address[0], request.now)
    relay.permit(address[0], permitted_until, verdict.restricted)
    relay.bind_channel(number, address, allocation.channels.bind(number, address, request.now))
    return []


def send(allocation: Allocation, message: stun.Message) -> None:
    """A Send indication, RFC 8656 §11.2: discarded when anything is wrong, the path itself looks for the permission."""
    value, data = message.get(Attribute.XOR_PEER_ADDRESS), message.get(Attribute.DATA)
    if value is None or data is None:
        raise stun.StunError("a Send indication without peer or data")
    address = stun.decode_xor_address(value, message.transaction_id)
    relayed = allocation.relays.get(family_of(address[0]))
    if relayed is None:
        raise stun.StunError("a Send indication to another family")
    if isinstance(relayed.relay, TcpRelay):
        raise stun.StunError("a Send indication on a TCP allocation")
    relayed.relay.send(address, data, message.get(Attribute.DONT_FRAGMENT) is not None)


Handler = Callable[["TurnServer", Request], Attributes | None]  # None: the answer comes later

HANDLERS: dict[int, Handler] = {
    Method.ALLOCATE: allocate,
    Method.REFRESH: refresh,
    Method.CREATE_PERMISSION: create_permission,
    Method.CHANNEL_BIND: channel_bind,
}
