"""What a viewer receives (WHEP): a subscribe connection with the m-lines of the viewer's own offer.

They are few and stay as they are, so who sits on them changes: the picture of a shared screen before the speaker's
before anybody else's, the voice of the speaker before the screen's sound before anybody else's. Who is there stays
until somebody is preferred; the speaker changes with the hysteresis of `sfu.speakers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sfu import sdp
from sfu.codecs import Kind
from sfu.endpoint import Endpoint
from sfu.formats import DEFAULT_VIDEO_PREFERENCE
from sfu.publish_answer import Source
from sfu.slots import OutgoingSlot, SlotView
from sfu.subscribe_answer import Agreement, agree, answer
from sfu.subscription import SubscribeConnection, SubscribeOwner
from sfu.track import Publication


class ViewConnection(SubscribeConnection):
    """One peer connection in which the viewer offers, once."""

    first_places = 0

    def __init__(self, endpoint: Endpoint, owner: SubscribeOwner, agreement: Agreement, pinned: str | None) -> None:
        """`pinned` is the participant whose picture and voice come first, while they are in the room."""
        super().__init__(endpoint, owner)
        self.agreement = agreement
        self._pinned = pinned
        self.transport.path.set_extensions({}, agreement.extensions)
        for line, sent in agreement.sent:
            slot = self._slot(line)
            slot.take_codecs(sent.payloads)

    def accept(self, addresses: Sequence[str], port: int, now: float) -> str:
        """The answer to the viewer's offer."""
        self.transport.set_remote(self.agreement.remote, client=self.agreement.passive, now=now)
        self._version += 1
        local = self.transport.local(addresses, port)
        return str(answer(self.agreement, local, self._session_id, self._version))

    def seat(self, publications: Iterable[tuple[str, Publication]], now: float) -> bool:
        """Puts those on the m-lines who come first now; True when that changed."""
        before = self.views()
        offered = list(publications)
        self.unseated = 0
        for audio in (True, False):
            slots = [slot for slot in self._by_ssrc.values() if slot.line.audio is audio]
            fitting = [each for each in offered if each[1].audio is audio]
            self.unseated += max(0, len(fitting) - len(slots))
            fitting.sort(key=lambda each: self._order(each[0], each[1], slots))
            self._put(slots, fitting[: len(slots)], now)
        self._seated(now)
        return self.views() != before

    def _order(self, peer_id: str, publication: Publication, slots: Sequence[OutgoingSlot]) -> tuple[bool, ...]:
        """False comes before True. What cannot be decoded is known once packets of it came."""
        undecodable = publication.kind is not None and not any(publication.kind in slot.kinds for slot in slots)
        seated = any(slot.publication is publication for slot in slots)
        speaks = peer_id == self.allocation.speaker and publication.source in (Source.MICROPHONE, Source.CAMERA)
        screen = publication.source in (Source.SCREEN, Source.SCREEN_AUDIO)
        first, second = (speaks, screen) if publication.audio else (screen, speaks)
        return undecodable, publication.muted, peer_id != self._pinned, not first, not second, not seated

    def _put(self, slots: Sequence[OutgoingSlot], chosen: Sequence[tuple[str, Publication]], now: float) -> None:
        """Who is on an m-line already stays on it."""
        who: dict[Publication | None, str] = {publication: peer_id for peer_id, publication in chosen}
        staying = {slot.publication for slot in slots} & who.keys()
        coming = iter([publication for _, publication in chosen if publication not in staying])
        for slot in slots:
            if slot.publication not in staying:
                publication = next(coming, None)
                slot.sit(publication, who.get(publication, ""), now)

    def views(self) -> list[SlotView]:
        """Who is where."""
        return [
            SlotView(slot.line.mid, slot.peer_id, slot.publication.source)
            for slot in self._by_ssrc.values()
            if slot.publication is not None
        ]


def read_viewer_offer(text: str, preference: Sequence[Kind] = DEFAULT_VIDEO_PREFERENCE) -> Agreement:
    """Parses and judges a viewer's offer; SdpError."""
    return agree(sdp.parse(text), preference)
