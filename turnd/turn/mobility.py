"""Mobility (RFC 8016): an allocation follows its client to another 5-tuple, shown by a ticket. Off unless configured.

A ticket is 64 random bits and a keyed hash over them, as text of 32 characters: there is nothing inside to read or to
change. It is good for one move of its allocation. `Mobility` owns which ticket belongs to which allocation and the
5-tuples that have shown one and have not been used yet; the rest of its state is the allocation's own `Roaming`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from turnd.turn.allocation import Roaming, TcpRelay
from turnd.turn.authentication import Refused
from wire.stun import Attribute, Method

if TYPE_CHECKING:
    from turnd.turn.allocation import Allocation, Flow, RelayHost
    from turnd.turn.requests import Request
    from wire.stun import Message

TICKET_CHARACTERS = 32
MOVE_RESULTS = ("accepted", "moved", "400", "405", "420", "437", "441", "443", "508")
_HANDLE_BYTES = 8
_MAC_BYTES = 16


class Mobility:
    """Who may take which allocation where. `allocations` is the registry's, by the 5-tuple that is served."""

    def __init__(
        self,
        host: RelayHost,
        allocations: dict[Flow, Allocation],
        token: Callable[[int], bytes],
        *,
        find: Callable[[Flow, float], Allocation | None],
        allowed: bool,
    ) -> None:
        """`find` is the registry's: it ends what has expired."""
        self.allowed = allowed
        self.arriving: dict[Flow, Allocation] = {}
        self.tickets: dict[bytes, Allocation] = {}  # the present and the former one of each
        self.results = dict.fromkeys(MOVE_RESULTS, 0)
        self._host = host
        self._allocations = allocations
        self._token = token
        self._find = find
        self._secret = token(32)
        self._absent = count()

    # Tickets.

    def wanted(self, message: Message, *, tcp: bool) -> bool:
        """Whether an Allocate request asks for a ticket; Refused 405 or 400 (RFC 8016 §3.1.2).

        There is none for a TCP allocation, which is bound to its control connection (RFC 6062).
        """
        value = message.get(Attribute.MOBILITY_TICKET)
        if value is None:
            return False
        if value:
            raise Refused(400)
        if not self.allowed or tcp:
            raise Refused(405)
        return True

    def admit(self, allocation: Allocation, now: float) -> bytes:
        """The first ticket of an allocation."""
        ticket = self._issue(allocation)
        allocation.roaming = Roaming(ticket, now)
        return ticket

    def _issue(self, allocation: Allocation) -> bytes:
        handle = self._token(_HANDLE_BYTES)
        ticket = base64.urlsafe_b64encode(handle + self._mac(handle))
        self.tickets[ticket] = allocation
        return ticket

    def _mac(self, handle: bytes) -> bytes:
        return hmac.digest(self._secret, handle, "sha256")[:_MAC_BYTES]

    def _is_ours(self, ticket: bytes) -> bool:
        """Whether this process has issued it, to whomever and whenever."""
        try:
            raw = base64.b64decode(ticket, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return False
        if len(ticket) != TICKET_CHARACTERS or len(raw) != _HANDLE_BYTES + _MAC_BYTES:
            return False
        return hmac.compare_digest(raw[_HANDLE_BYTES:], self._mac(raw[:_HANDLE_BYTES]))

    def holder(self, ticket: bytes, now: float) -> Allocation | None:
        """The living allocation that a ticket belongs to, used or not."""
        allocation = self.tickets.get(ticket) if self.allowed and self._is_ours(ticket) else None
        return None if allocation is None else self._find(allocation.flow, now)

    def shown(self, message: Message, now: float) -> Allocation | None:
        """The living allocation whose ticket a Refresh request shows; the request is not authenticated yet."""
        ticket = message.get(Attribute.MOBILITY_TICKET) if message.method == Method.REFRESH else None
        return None if ticket is None else self.holder(ticket, now)

    # Moves.

    def claimed(self, request: Request, ticket: bytes) -> Allocation:
        """The allocation a Refresh request with a ticket is about, unchanged; raises Refused (RFC 8016 §3.2.2)."""
        if not self.allowed:
            raise Refused(405)
        if not self._is_ours(ticket):
            raise Refused(400)
        allocation = self.holder(ticket, request.now)
        # The allocation has ended; a former ticket is worth nothing but from where it was shown.
        if allocation is None or allocation.roaming is None:
            raise Refused(437)
        if allocation.username != request.identity.username:
            raise Refused(441)
        roaming = allocation.roaming
        here = request.flow in (allocation.flow, roaming.arriving)
        if ticket == roaming.former:
            if here and request.flow == roaming.shown_from:
                return allocation
            raise Refused(437)
        # The 5-tuple is the allocation's already: 400; it has another one: 437.
        if here:
            raise Refused(400)
        if request.allocation is not None:
            raise Refused(437)
        return allocation

    def come(self, allocation: Allocation, request: Request, ticket: bytes) -> bytes:
        """Expects the client at the request's 5-tuple from now on; the new ticket. Raises Refused 508: too many moves.

        The old 5-tuple is served until the new one is used (§3.2.2), or at once when it is no more.
        """
        roaming = allocation.roaming
        if roaming is None:
            raise Refused(437)
        if ticket == roaming.former:
            return roaming.ticket
        if not roaming.take(request.now):
            raise Refused(508)
        self.tickets.pop(roaming.former, None)
        roaming.former, roaming.ticket = roaming.ticket, self._issue(allocation)
        self._give_up(roaming)
        roaming.arriving = roaming.shown_from = request.flow
        self.arriving[request.flow] = allocation
        self._host.expect(request.flow)
        if is_nowhere(allocation.flow):
            self.settle(allocation)
        return roaming.ticket

    def settle(self, allocation: Allocation) -> None:
        """The client uses the new 5-tuple, if it is expected at one: the old one is free."""
        roaming, old_flow = allocation.roaming, allocation.flow
        if roaming is None or roaming.arriving is None:
            return
        allocation.flow, roaming.arriving = roaming.arriving, None
        del self._allocations[old_flow], self.arriving[allocation.flow]
        self._allocations[allocation.flow] = allocation
        self._host.moved(allocation, old_flow)
        self.results["moved"] += 1

    def used(self, allocation: Allocation, flow: Flow) -> None:
        """Data have come for the allocation from `flow`, one that it has or where its client is expected."""
        if flow != allocation.flow:
            self.settle(allocation)

    def asked(self, request: Request) -> None:
        """A request of the client from where it is expected is use too, unless it is the one that shows the ticket."""
        allocation, message = request.allocation, request.message
        if not self.arriving or allocation is None or allocation.username != request.identity.username:
            return
        if message.method != Method.ALLOCATE and message.get(Attribute.MOBILITY_TICKET) is None:
            self.used(allocation, request.flow)

    def outlives_stream(self, allocation: Allocation) -> bool:
        """The stream that was served is gone. False: the allocation ends with it, since it has no ticket."""
        roaming = allocation.roaming
        if roaming is None or not self.allowed:
            return False
        if roaming.arriving is not None:
            self.settle(allocation)
            return True
        del self._allocations[allocation.flow]
        allocation.flow = allocation.flow._replace(client=("", next(self._absent)))
        self._allocations[allocation.flow] = allocation
        for each in allocation.relays.values():
            if not isinstance(each.relay, TcpRelay):
                each.relay.leave()
        return True

    def stream_ended(self, flow: Flow) -> None:
        """Nobody will come from there any more: the old 5-tuple goes on."""
        allocation = self.arriving.get(flow)
        if allocation is not None and allocation.roaming is not None:
            self._give_up(allocation.roaming)

    def _give_up(self, roaming: Roaming) -> None:
        if roaming.arriving is not None:
            del self.arriving[roaming.arriving]
            self._host.unexpect(roaming.arriving)
            roaming.arriving = None

    def forget(self, allocation: Allocation) -> None:
        """An allocation has ended, and its tickets with it."""
        roaming = allocation.roaming
        if roaming is not None:
            self._give_up(roaming)
            self.tickets.pop(roaming.ticket, None)
            self.tickets.pop(roaming.former, None)


def is_nowhere(flow: Flow) -> bool:
    """Whether it is a stand-in for the 5-tuple of an allocation whose stream has ended: nothing can come from there."""
    return not flow.client[0]
