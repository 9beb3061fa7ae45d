"""HTTP of files: uploads by tus 1.0 (core, creation, termination), downloads by RFC 9110 with ranges and conditions.

Who uploads says by its resume token whose seat it is (RFC 6750); a download needs nothing but its URL, which is a key.
No browser shows what is sent down as a page of ours: it is an attachment, of no type, in a sandbox.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from signalling.access import SourceLimiter, source_of
from signalling.client_messages import MAX_TOKEN_LENGTH
from signalling.file_exchange import FileExchange, FileGoneError, TooManyDownloadsError, is_full
from signalling.file_headers import (
    HeaderError,
    UnsatisfiableRangeError,
    content_disposition,
    read_metadata,
    read_number,
    read_range,
)
from signalling.files import File, FilesFullError, Result, TooManyUploadsError
from signalling.hosts import is_loopback, same_origin
from signalling.http_endpoint import RefusedRequestError
from signalling.reception import Reception
from signalling.seat import ForbiddenError, Seat, UnknownError
from signalling.server_messages import Role

logger = logging.getLogger(__name__)

VERSION: Final = "1.0.0"
OFFSET_STREAM: Final = "application/offset+octet-stream"
RETRY_SECONDS = 5
# Burst and files per second of one seat: each becomes a line that everybody reads.
UPLOADS: Final = (30, 0.5)

_TUS: Final = {"Tus-Resumable": VERSION}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="turnd"'}
_SANDBOX: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Accept-Ranges": "bytes",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FileEndpoint:
    """`/r/{room}/files` and what is below it."""

    def __init__(self, exchange: FileExchange, reception: Reception, is_room_name: Callable[[str], bool]) -> None:
        self._exchange = exchange
        self._files = exchange.files
        self._reception = reception
        self._is_room_name = is_room_name
        self._uploads = SourceLimiter(*UPLOADS)

    # --- around both URLs ---

    async def collection(self, request: web.Request) -> web.StreamResponse:
        """`/r/{room}/files`"""
        return await self._respond(request, {"POST": self._post})

    async def item(self, request: web.Request) -> web.StreamResponse:
        """`/r/{room}/files/{file}`"""
        methods = {"HEAD": self._head, "GET": self._get, "PATCH": self._patch, "DELETE": self._delete}
        return await self._respond(request, methods)

    async def _respond(self, request: web.Request, methods: Mapping[str, Handler]) -> web.StreamResponse:
        method = request.method
        if method == "POST":
            method = request.headers.get("X-HTTP-Method-Override", method)
        try:
            if not self._is_room_name(request.match_info["room"]):
                raise RefusedRequestError(404, "no such room name")
            if "Origin" in request.headers and not same_origin(request.headers["Origin"], request.host):
                self._reception.counters.auth_failures["origin"] += 1
                raise RefusedRequestError(403, "wrong origin")
            if method == "OPTIONS":
                response: web.StreamResponse = self._abilities(methods)
            elif method in methods:
                response = await methods[method](request)
            else:
                raise RefusedRequestError(405, "Method Not Allowed", {"Allow": ", ".join(("OPTIONS", *methods))})
        except HeaderError as error:
            response = RefusedRequestError(400, str(error)).response()
        except RefusedRequestError as refused:
            response = refused.response()
        if not response.prepared:
            response.headers["Cache-Control"] = "no-store"
            if method != "GET":
                response.headers.update(_TUS)
        return response

    def _abilities(self, methods: Mapping[str, Handler]) -> web.Response:
        limit = self._files.limits.max_bytes
        headers = {
            "Allow": ", ".join(("OPTIONS", *methods)),
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination",
            "Tus-Max-Size": str(limit),
        }
        return web.Response(status=204, headers=headers)

    # --- who and what ---

    def _check_version(self, request: web.Request) -> None:
        if request.headers.get("Tus-Resumable") != VERSION:
            raise RefusedRequestError(412, f"tus {VERSION} is spoken here", {"Tus-Version": VERSION})

    def _limit(self, request: web.Request) -> None:
        source, now = source_of(request.remote or ""), self._reception.clock()
        if not is_loopback(source) and not self._reception.session_requests.take(source, now):
            self._reception.counters.rate_limited["files"] += 1
            raise RefusedRequestError(429, "too many requests from this address", {"Retry-After": "1"})

    def _seat(self, request: web.Request) -> Seat:
        """Whose token it is; 401."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        room = self._reception.rooms.get(request.match_info["room"])
        seat = None
        if scheme.lower() == "bearer" and 0 < len(token) <= MAX_TOKEN_LENGTH and room is not None:
            seat = room.seat_of(token)
        if seat is None:
            self._reception.counters.auth_failures["token"] += 1
            raise RefusedRequestError(401, "no such seat", _CHALLENGE)
        return seat

    def _sender(self, request: web.Request) -> Seat:
        """A seat that may send files; 401, 403."""
        seat = self._seat(request)
        if seat.role is Role.VIEWER:
            raise self._refused(Result.FORBIDDEN, 403, "viewers send no files")
        if not seat.room.may(seat, "files"):
            raise self._refused(Result.FORBIDDEN, 403, "a host has taken that right away")
        return seat

    def _refused(self, result: Result, status: int, message: str) -> RefusedRequestError:
        """Counted as what became of an upload."""
        self._files.results[result] += 1
        headers = {"Retry-After": str(RETRY_SECONDS)} if status == 429 else None
        return RefusedRequestError(status, message, headers)

    def _file(self, request: web.Request) -> File:
        """404, 410."""
        file_id = request.match_info["file"]
        file = self._files.get(request.match_info["room"], file_id)
        if file is None:
            gone = self._files.was_there(file_id)
            raise RefusedRequestError(410 if gone else 404, "it is gone" if gone else "no such file")
        return file

    # --- uploads ---

    async def _post(self, request: web.Request) -> web.Response:
        self._check_version(request)
        self._limit(request)
        seat = self._sender(request)
        if not self._uploads.take(seat.id, self._reception.clock()):
            self._reception.counters.rate_limited["files"] += 1
            raise RefusedRequestError(429, "too many files", {"Retry-After": "2"})
        size = read_number("Upload-Length", request.headers.get("Upload-Length"))
        metadata = read_metadata(request.headers.get("Upload-Metadata"))
        if size > self._files.limits.max_bytes:
            raise self._refused(Result.TOO_LARGE, 413, f"at most {self._files.limits.max_bytes} bytes")
        try:
            if metadata.to:
                seat.room.chat.check_receiver(seat, metadata.to)
            file = await self._exchange.begin(seat, metadata, size)
        except UnknownError as error:
            raise RefusedRequestError(404, str(error)) from None
        except ForbiddenError as error:
            raise self._refused(Result.FORBIDDEN, 403, str(error)) from None
        except TooManyUploadsError as error:
            raise self._refused(Result.TOO_MANY, 429, str(error)) from None
        except FilesFullError as error:
            raise self._refused(Result.NO_ROOM, 507, str(error)) from None
        except FileGoneError:
            raise RefusedRequestError(410, "the room has ended") from None
        except OSError as error:
            raise _of_the_disk(error) from None
        return web.Response(status=201, headers={"Location": file.path, "Upload-Offset": str(file.offset)})

    async def _patch(self, request: web.Request) -> web.Response:
        self._check_version(request)
        seat, file = self._sender(request), self._file(request)
        if request.content_type != OFFSET_STREAM or "Content-Encoding" in request.headers:
            raise RefusedRequestError(415, f"{OFFSET_STREAM} is needed", {"Accept-Patch": OFFSET_STREAM})
        offset = read_number("Upload-Offset", request.headers.get("Upload-Offset"))
        await self._exchange.claim(file)
        file = self._file(request)
        if offset != file.offset:
            raise RefusedRequestError(409, f"{file.offset} bytes are here", {"Upload-Offset": str(file.offset)})
        await self._receive(request, seat, file)
        return web.Response(status=204, headers={"Upload-Offset": str(file.offset)})

    async def _receive(self, request: web.Request, seat: Seat, file: File) -> None:
        too_much = RefusedRequestError(413, f"the upload has {file.bytes} bytes")
        if file.offset + (request.content_length or 0) > file.bytes:
            raise too_much
        try:
            if await self._exchange.receive(request, seat, file):
                raise too_much
        except FileGoneError:
            raise RefusedRequestError(410, "it is gone") from None
        except ForbiddenError as error:
            raise self._refused(Result.FORBIDDEN, 403, str(error)) from None
        except web.RequestPayloadError:
            raise RefusedRequestError(400, "the body is not as HTTP has it") from None
        except TimeoutError:
            raise RefusedRequestError(408, "nothing came any more") from None
        except ConnectionError:
            raise RefusedRequestError(400, "the connection broke") from None
        except OSError as error:
            raise _of_the_disk(error) from None

    async def _finish(self, request: web.Request, file: File) -> None:
        try:
            await self._exchange.complete(self._sender(request), file)
        except FileGoneError:
            raise RefusedRequestError(410, "it is gone") from None
        except ForbiddenError as error:
            raise self._refused(Result.FORBIDDEN, 403, str(error)) from None
        except OSError as error:
            raise _of_the_disk(error) from None

    async def _delete(self, request: web.Request) -> web.Response:
        self._check_version(request)
        seat, file = self._seat(request), self._file(request)
        if seat.id != file.owner and seat.role is not Role.HOST:
            raise RefusedRequestError(403, "somebody else has sent it")
        self._exchange.drop(file, Result.CANCELLED)
        return web.Response(status=204)

    async def _head(self, request: web.Request) -> web.StreamResponse:
        """Of an upload for who speaks tus, else of a file."""
        if "Tus-Resumable" not in request.headers:
            return await self._get(request)
        self._check_version(request)
        file = self._file(request)
        await self._exchange.claim(file)
        file = self._file(request)
        if file.offset == file.bytes and not file.finished and "Authorization" in request.headers:
            # Its client takes it for sent, and sends nothing more.
            await self._finish(request, file)
        headers = {"Upload-Offset": str(file.offset), "Upload-Length": str(file.bytes)}
        return web.Response(headers=headers)

    # --- downloads ---

    async def _get(self, request: web.Request) -> web.StreamResponse:
        file = self._file(request)
        if not file.finished:
            raise RefusedRequestError(404, "not all of it is here yet")
        etag = f'"{hashlib.sha256(file.id.encode()).hexdigest()[:32]}"'
        headers = {**_SANDBOX, "ETag": etag, "Content-Disposition": content_disposition(file.name)}
        match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if match is not None and match.strip() != "*" and etag not in match:
            raise RefusedRequestError(412, "this is another file")
        if none_match is not None and (none_match.strip() == "*" or etag in none_match):
            return web.Response(status=304, headers={"ETag": etag})
        response, start, end = web.StreamResponse(headers=headers), 0, file.bytes
        if request.headers.get("If-Range", etag) == etag:
            try:
                asked = read_range(request.headers.get("Range"), file.bytes)
            except UnsatisfiableRangeError as error:
                raise RefusedRequestError(416, str(error), {"Content-Range": f"bytes */{file.bytes}"}) from None
            if asked is not None:
                start, end = asked
                response.set_status(206)
                response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.bytes}"
        response.content_type = "application/octet-stream"
        response.content_length = end - start
        response.headers["Cache-Control"] = "no-store"
        return await self._send(request, file, start, end, response)

    async def _send(
        self, request: web.Request, file: File, start: int, end: int, response: web.StreamResponse
    ) -> web.StreamResponse:
        source = source_of(request.remote or "")
        try:
            with self._exchange.downloading(source, exempt=is_loopback(source)):
                await response.prepare(request)
                if request.method != "HEAD":
                    await self._exchange.send(file, start, end, response)
        except TooManyDownloadsError as error:
            self._reception.counters.rate_limited["files"] += 1
            raise RefusedRequestError(429, str(error), {"Retry-After": str(RETRY_SECONDS)}) from None
        except (FileGoneError, TimeoutError, OSError):
            # What was promised does not come, or not to anybody; only the end of the connection can say so.
            if request.transport is not None:
                request.transport.abort()
        return response


def _of_the_disk(error: OSError) -> RefusedRequestError:
    if is_full(error):
        return RefusedRequestError(507, "there is no room left for it")
    return RefusedRequestError(500, "the disk does not take it")
