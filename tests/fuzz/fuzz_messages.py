"""`python -m tests.fuzz messages`: any text is a message or MalformedMessage.

What is a message goes through a session too, which takes it whatever came before.
"""

from __future__ import annotations

import json

from signalling.client_messages import Ask, Chat, ClientMessage, Invite, Join, Leave, MalformedMessage
from signalling.message_reader import decode
from signalling.server_messages import ChatLine, encode
from signalling.session import Accepted, Phase, Session


def one_input(data: bytes) -> None:
    """Raises only when the decoder or the session is wrong. Lines are messages of one session."""
    session = Session(0.0)
    for number, line in enumerate(data.decode(errors="replace").split("\n")):
        one_message(line)
        for effect in session.receive(line, number / 10):
            if isinstance(effect, Accepted):
                act(session, effect.message)


def text_in(message: ClientMessage) -> str | None:
    """What others will read."""
    match message:
        case Join(name=said) | Chat(text=said) | Ask(text=said) | Invite(label=said):
            return said
    return None


def act(session: Session, message: ClientMessage) -> None:
    """As a room with a lobby would, in which the invited wait."""
    if isinstance(message, Join):
        (session.waiting if message.invitation else session.joined)()
    elif session.phase is Phase.WAITING and not isinstance(message, Leave):
        raise AssertionError("who waits asks for something")


def one_message(text: str) -> None:
    """What is taken can be told to others."""
    try:
        message = decode(text)
    except MalformedMessage:
        return
    said = text_in(message)
    if said is not None:
        line = ChatLine(id="", participant="", name=said, text=said, time=0, request=message.request)
        written = encode(line).text.encode()
        if json.loads(written)["text"] != said:
            raise AssertionError("what is taken is not what is told")
