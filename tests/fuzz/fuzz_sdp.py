"""`python -m tests.fuzz sdp`: any text is a description or SdpError.

What parses must print to something that parses to the same print, and go through both sides of the negotiation.
"""

from __future__ import annotations

import contextlib

from sfu import publish_answer, subscribe_answer, subscribe_offer
from sfu.description import LocalTransport
from sfu.ice_lite import Credentials
from sfu.publish_answer import Source
from sfu.sdp import SdpError, SessionDescription, parse
from sfu.sdp_fragment import fragment_text, parse_fragment
from sfu.subscribe_offer import SlotLine

LOCAL = LocalTransport(Credentials("ufra", "p" * 22), "sha-256 " + ":".join(["AB"] * 32), ["192.0.2.1"], 40000)
SLOTS = (SlotLine("a0", True, 1, None, "place0"), SlotLine("v0", False, 2, 3, "place0"))


def one_input(data: bytes) -> None:
    """Raises only when the parser or the negotiation is wrong."""
    trickle(data.decode("utf-8", "replace"))
    try:
        described = parse(data.decode("utf-8", "replace"))
    except SdpError:
        return
    printed = str(described)
    if str(parse(printed)) != printed:
        raise AssertionError("a description changed by being printed")
    negotiate(described)


def trickle(text: str) -> None:
    """As the body of a PATCH request."""
    with contextlib.suppress(SdpError):
        parse_fragment(text)


def negotiate(described: SessionDescription) -> None:
    """As an offer to publish, as one to view, and as an answer to two slots."""
    try:
        viewed = subscribe_answer.agree(described)
    except SdpError:
        pass
    else:
        parse(str(subscribe_answer.answer(viewed, LOCAL, 1, 1)))
        parse_fragment(fragment_text(LOCAL, viewed.bundle))
    kinds = {"audio": Source.MICROPHONE, "video": Source.CAMERA}
    sources = {kinds[media.kind]: media.mid for media in described.media if media.mid and media.kind in kinds}
    try:
        agreement = publish_answer.agree(described, {mid: source for source, mid in sources.items()})
    except SdpError:
        pass
    else:
        parse(str(publish_answer.answer(agreement, LOCAL, 1, 1)))
    try:
        subscribe_offer.read_answer(described, SLOTS)
    except SdpError:
        return
