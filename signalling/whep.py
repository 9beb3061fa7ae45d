"""WHEP out of a room (draft-ietf-wish-whep): a viewer is a participant who only receives, and does not make rooms.

In a broadcast room it is one of the audience. What its m-lines carry is `sfu.viewing`'s; `?participant=` pins one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from signalling.client_messages import Join
from signalling.http_endpoint import RefusedRequestError
from signalling.http_sessions import Kind
from signalling.media import SessionDescription, agree_to_view
from signalling.reception import Reception
from signalling.seat import Seat
from signalling.server_messages import Role

# When to ask again for a room that nobody is in.
EMPTY_SECONDS = 5


class Whep:
    """An `Exchange`."""

    kind = Kind.WHEP

    def check(self, offer: SessionDescription, query: Mapping[str, str]) -> None:
        """See Exchange."""
        del query
        agree_to_view(offer)

    def take(self, reception: Reception, room_name: str, join: Join, source: str, addresses: Sequence[str]) -> Seat:
        """See Exchange."""
        if reception.rooms.find(room_name, reception.clock()) is None:
            raise RefusedRequestError(409, "nobody is in this room", {"Retry-After": str(EMPTY_SECONDS)})
        return reception.take(room_name, join, source, addresses, silent_as=Role.VIEWER)

    def answer(self, seat: Seat, text: str, query: Mapping[str, str]) -> str:
        """See Exchange."""
        return seat.media.view(text, pinned=query.get("participant"))
