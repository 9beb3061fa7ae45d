"""Asking the router for its outside address by UPnP: SSDP, the device's description, one action of its WAN connection.

UPnP Device Architecture 1.1 §1.3 (search), §2 (description), §3 (control); WANIPConnection:1 §2.4.18. Sans-IO: the
owner sends `search` to the router, gives its answer to `location`, what it fetches there to `services`, posts the
`question` of one of those and gives the answer to `parse`. Only the router is asked, and nothing of it is changed.
All raise RouterError on whatever does not fit.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

from turnd.outside_address import RouterError, outside_address

SSDP_PORT = 1900
SSDP_GROUP = "239.255.255.250"
MAX_DOCUMENT_BYTES = 64 << 10
MAX_SERVICES = 4

_DEVICE = "urn:schemas-upnp-org:device:InternetGatewayDevice:1"  # one of version 2 answers too
_SERVICE = re.compile(r"urn:schemas-upnp-org:service:WAN(IP|PPP)Connection:[12]")
_ACTION = "GetExternalIPAddress"


class Service(NamedTuple):
    """A WAN connection of the router: where it is asked, and its type."""

    url: str
    kind: str

    def headers(self) -> dict[str, str]:
        """Of the HTTP request that has `question` as its body."""
        return {"Content-Type": 'text/xml; charset="utf-8"', "SOAPAction": f'"{self.kind}#{_ACTION}"'}

    def question(self) -> bytes:
        """The SOAP envelope to post."""
        return (
            '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
            f'<u:{_ACTION} xmlns:u="{self.kind}"/></s:Body></s:Envelope>'
        ).encode()


def search(host: str, port: int) -> bytes:
    """The datagram that asks for routers at this address, which may be the group's."""
    lines = "M-SEARCH * HTTP/1.1", f"HOST: {host}:{port}", 'MAN: "ssdp:discover"', "MX: 1", f"ST: {_DEVICE}", "", ""
    return "\r\n".join(lines).encode()


def location(answer: bytes, router: str) -> str:
    """The URL of the description in the answer to a search."""
    status, *lines = answer.decode("latin-1").split("\r\n")
    if not re.match(r"HTTP/1\.[01] 200\b", status):
        raise RouterError("not an answer to a search")
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.strip().upper() == "LOCATION":
            return _at_router(value.strip(), router)
    raise RouterError("an answer without a location")


def services(description: bytes, url: str, router: str) -> list[Service]:
    """The WAN connections in the description that came from `url`, at least one."""
    base, kind, control = url, "", ""
    found: list[Service] = []
    for name, text in _texts(description):
        if name == "URLBase" and text:
            base = text
        elif name == "serviceType":
            kind = text
        elif name == "controlURL":
            control = text
        elif name == "service" and _SERVICE.fullmatch(kind) and len(found) < MAX_SERVICES:
            found.append(Service(_at_router(_joined(base, control), router), kind))
    if not found:
        raise RouterError("a router without a WAN connection")
    return found


def parse(answer: bytes) -> str:
    """The outside IPv4 address in the answer to the question."""
    for name, text in _texts(answer):
        if name == "NewExternalIPAddress":
            try:
                return outside_address(ipaddress.IPv4Address(text))
            except ipaddress.AddressValueError:
                raise RouterError("the router has no outside address") from None
    raise RouterError("an answer without an address")


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        raise RouterError("not a URL") from None


def _at_router(url: str, router: str) -> str:
    """The URL, when it is of the router itself."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise RouterError("not a URL") from None
    if parts.scheme != "http" or parts.hostname != router or parts.username is not None:
        raise RouterError("an answer that leads elsewhere")
    return f"http://{router}:{port}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def _texts(document: bytes) -> list[tuple[str, str]]:
    """(name without namespace, own text) of every element, in the order of their ends. No document type is taken."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise RouterError("a document that is too long")
    ended: list[tuple[str, str]] = []
    begun: list[list[str]] = []

    def begin(_name: str, _attributes: dict[str, str]) -> None:
        begun.append([])

    def take(text: str) -> None:
        begun[-1].append(text)

    def end(name: str) -> None:
        ended.append((name.rpartition(" ")[2], "".join(begun.pop()).strip()))

    def refuse(*_: object) -> None:
        raise RouterError("a document with a type of its own")

    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, take
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise RouterError(f"not XML: {error}") from None
    return ended
