"""The web page's files, held in memory, and how they are answered (RFC 9110 §8.8.3, RFC 9111, RFC 8246).

Read once at start: what is served cannot change under a running call, and no URL reaches the file system. A file's URL
names the content of all of them, `/assets/<version>/…`: browsers keep it for a year without asking, and relative
references stay in it. The plain `/assets/…` is for those who link to a file from elsewhere, and asked about each time.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from signalling.documents import (
    ASSETS,
    assembled,
    finished,
    joined_styles,
    parts_of,
    styles_of,
    with_one_style,
    without_comments,
)

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_COMPRESSED: Final = frozenset({".css", ".html", ".js", ".json", ".svg", ".txt", ".wasm", ".webmanifest"})
# Of the directory, what is for those who work on the page.
_DEVELOPMENT_DIRECTORIES: Final = frozenset({"node_modules", "tests"})
_DEVELOPMENT_FILES: Final = frozenset({"eslint.config.js", "package.json", "package-lock.json", "tsconfig.json"})

MAX_ASSET_BYTES = 16 * 1024 * 1024
VERSION_DIGITS = 16
KEPT_SECONDS = 365 * 24 * 3600
_LEAST_WORTH_COMPRESSING = 512


class AssetsError(Exception):
    """The page's files are not where they should be."""


def find_assets() -> Path:
    """The page's directory: `turnd_web` beside the packages when installed, `web` in a checkout; AssetsError."""
    root = Path(__file__).resolve().parent.parent
    candidates = [root / "turnd_web"]
    if (root / "pyproject.toml").is_file():
        candidates.append(root / "web")
    for candidate in candidates:
        if (candidate / "index.html").is_file():
            return candidate
    raise AssetsError(f"the web page is not in {' or '.join(str(candidate) for candidate in candidates)}")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    content_type: str
    body: bytes
    etag: str
    compressed: bytes | None
    """The body in gzip, when that is shorter."""

    @classmethod
    def of(cls, suffix: str, body: bytes) -> Asset:
        """The asset of a file's content."""
        compressed: bytes | None = None
        if suffix in _COMPRESSED and len(body) >= _LEAST_WORTH_COMPRESSING:
            compressed = gzip.compress(body, mtime=0)
        if compressed is not None and len(compressed) >= len(body):
            compressed = None
        return cls(CONTENT_TYPES[suffix], body, hashlib.sha256(body).hexdigest()[:20], compressed)

    def response(self, request: web.Request, *, immutable: bool = False) -> web.Response:
        """200 or 304. Not `immutable`: to be asked about each time, so that a new version is seen at once."""
        zipped = self.compressed if _accepts_gzip(request) else None
        # A strong validator names one sequence of bytes, so the encodings have different ones.
        etag = f"{self.etag}-gzip" if zipped is not None else self.etag
        cache = f"public, max-age={KEPT_SECONDS}, immutable" if immutable else "no-cache"
        headers = {"Cache-Control": cache, "ETag": f'"{etag}"'}
        if self.compressed is not None:
            headers["Vary"] = "Accept-Encoding"
        if _matches(request, etag):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = self.content_type
        if zipped is not None:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=self.body if zipped is None else zipped, headers=headers)


def _accepts_gzip(request: web.Request) -> bool:
    for item in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, parameters = item.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _matches(request: web.Request, etag: str) -> bool:
    return any(tag.value in {"*", etag} for tag in request.if_none_match or ())


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.name not in _DEVELOPMENT_DIRECTORIES:
                yield from _files(path)
        elif path.suffix in CONTENT_TYPES and path.name not in _DEVELOPMENT_FILES:
            yield path


_VERSIONED = re.compile(rf"([0-9a-f]{{{VERSION_DIGITS}}})/(.*)", re.DOTALL)


class Assets:
    """All files by their path in the directory. HTML is finished here, with `metas` in it: see `documents`."""

    def __init__(self, directory: Path, metas: Mapping[str, str] | None = None) -> None:
        if not (directory / "index.html").is_file():
            raise AssetsError(f"no index.html in {directory}")
        bodies = dict(self._read(directory))
        self.version = self._version(bodies)
        """Names the content of all files."""
        languages = sorted(Path(path).stem for path in bodies if path.startswith("locales/"))
        self._metas = {"languages": " ".join(languages), **(metas or {})}
        self._codes = {path: body.decode() for path, body in bodies.items() if path.endswith(".js")}
        for path, page in self._pages(bodies).items():
            bodies.update(self._finished(path, page, bodies))
        self._by_path = {path: Asset.of(Path(path).suffix, body) for path, body in bodies.items()}

    @staticmethod
    def _read(directory: Path) -> Iterator[tuple[str, bytes]]:
        for path in _files(directory):
            if path.stat().st_size > MAX_ASSET_BYTES:
                raise AssetsError(f"{path} is over {MAX_ASSET_BYTES} bytes")
            yield path.relative_to(directory).as_posix(), path.read_bytes()

    @staticmethod
    def _version(bodies: Mapping[str, bytes]) -> str:
        digest = hashlib.sha256()
        for path, body in sorted(bodies.items()):
            digest.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(body).digest())
        return digest.hexdigest()[:VERSION_DIGITS]

    @staticmethod
    def _pages(bodies: dict[str, bytes]) -> dict[str, str]:
        """The HTML files by their path, put together, for visitors; takes out parts of others, which are not served."""
        pages = {path: body.decode() for path, body in bodies.items() if path.endswith(".html")}
        parts: dict[str, str] = {}
        for path, page in pages.items():
            for part in parts_of(page):
                if part not in pages:
                    raise AssetsError(f"{path} includes {part}, which is not there")
                parts[part] = pages[part]
                bodies.pop(part, None)
        return {path: without_comments(assembled(page, parts)) for path, page in pages.items() if path not in parts}

    def _finished(self, path: str, page: str, bodies: Mapping[str, bytes]) -> dict[str, bytes]:
        """The page at `path` as it is served, and the one stylesheet it links."""
        styles, named = {}, styles_of(page)
        if named:
            name = str(Path(path).with_suffix(".css"))
            styles[name] = joined_styles({style: bodies[style].decode() for style in named}).encode()
            page = with_one_style(page, name)
        return {path: finished(page, self._codes, f"{ASSETS}{self.version}/", self._metas).encode(), **styles}

    def get(self, path: str) -> Asset | None:
        """The file of that path."""
        return self._by_path.get(path)

    def find(self, url_path: str) -> tuple[Asset | None, bool]:
        """The file of what follows `/assets/`, and whether that URL will always mean this very content.

        A page that was loaded before the daemon was restarted asks for its files by the old version: it gets ours.
        """
        match = _VERSIONED.fullmatch(url_path)
        return (self.get(match[2]), match[1] == self.version) if match else (self.get(url_path), False)

    @property
    def home(self) -> Asset:
        """The page at `/`."""
        return self._by_path["index.html"]

    @property
    def room(self) -> Asset:
        """The page at `/r/<room>`: `room.html`, or the same as at `/`."""
        return self._by_path.get("room.html", self.home)

    def __len__(self) -> int:
        return len(self._by_path)
