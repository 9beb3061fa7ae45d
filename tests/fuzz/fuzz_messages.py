"""`python -m tests.fuzz messages`: any text is a message or MalformedMessage.

What is a message goes through a session too, which takes it whatever came before.
"""

from __future__ import annotations

import json

from signalling.client_messages import Chat, Join, MalformedMessage
from signalling.message_reader import decode
from signalling.server_messages import ChatLine, encode
from signalling.session import Accepted, Session


def one_input(data: bytes) -> None:
    """Raises only when the decoder or the session is wrong. Lines are messages of one session."""
    session = Session(0.0)
    for number, line in enumerate(data.decode(errors="replace").split("\n")):
        one_message(line)
        for effect in session.receive(line, number / 10):
            if isinstance(effect, Accepted) and isinstance(effect.message, Join):
                session.joined()


def one_message(text: str) -> None:
    """What is taken can be told to others."""
    try:
        message = decode(text)
    except MalformedMessage:
        return
    if isinstance(message, Join | Chat):
        said = message.name if isinstance(message, Join) else message.text
        line = ChatLine(id="", participant="", name=said, text=said, time=0, request=message.request)
        written = encode(line).text.encode()
        if json.loads(written)["text"] != said:
            raise AssertionError("what is taken is not what is told")
