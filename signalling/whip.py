"""WHIP into a room (RFC 9725): a publisher is a participant who only sends.

The first m-line for sound is its microphone, the first for picture its camera; `?source=screen` makes them a screen and
its sound. In a broadcast room the token must be a host's, and the publisher is a speaker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from signalling.client_messages import Join
from signalling.http_endpoint import RefusedRequestError
from signalling.http_sessions import Kind
from signalling.media import SdpError, SessionDescription, Source, agree_to_publish, parse_description
from signalling.reception import Reception
from signalling.seat import Seat
from signalling.server_messages import Role

# When to try again after a restart, with a token that stands for a host: it is no password to make the room with.
HOST_SECONDS = 5

_SOURCES: Mapping[str, Mapping[str, Source]] = {
    "camera": {"audio": Source.MICROPHONE, "video": Source.CAMERA},
    "screen": {"audio": Source.SCREEN_AUDIO, "video": Source.SCREEN},
}


class Whip:
    """An `Exchange`."""

    kind = Kind.WHIP

    def check(self, offer: SessionDescription, query: Mapping[str, str]) -> None:
        """See Exchange."""
        agree_to_publish(offer, tracks_of(offer, query))

    def take(self, reception: Reception, room_name: str, join: Join, source: str, addresses: Sequence[str]) -> Seat:
        """See Exchange."""
        room = reception.rooms.find(room_name, reception.clock())
        if room is None and reception.rooms.is_resume_token(room_name, join.resume):
            raise RefusedRequestError(503, "the host has not come back yet", {"Retry-After": str(HOST_SECONDS)})
        if room is not None and room.broadcast and not room.is_host(join.resume):
            reception.wrong_password(source)
            raise RefusedRequestError(403, "only a host's token opens the stage of this room")
        return reception.take(room_name, join, source, addresses, silent_as=Role.SPEAKER)

    def answer(self, seat: Seat, text: str, query: Mapping[str, str]) -> str:
        """See Exchange."""
        answer, _ = seat.publish(text, tracks_of(parse_description(text), query))
        return answer


def tracks_of(offer: SessionDescription, query: Mapping[str, str]) -> dict[str, Source]:
    """What each m-line shows, by mid. SdpError when there are two of a kind: one stream, one track of each (§4.4.2)."""
    sources = _SOURCES.get(query.get("source", "camera"))
    if sources is None:
        raise RefusedRequestError(400, "source is camera or screen")
    tracks: dict[str, Source] = {}
    for index, media in enumerate(offer.media):
        source = sources.get(media.kind)
        if source is None or media.rejected or media.direction not in ("sendonly", "sendrecv"):
            continue
        if source in tracks.values():
            raise SdpError(f"more than one track of {media.kind}")
        tracks[media.mid or str(index)] = source
    if not tracks:
        raise SdpError("the offer sends neither sound nor picture")
    return tracks
