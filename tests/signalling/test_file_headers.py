from __future__ import annotations

import base64
import contextlib
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalling.file_headers import (
    MAX_METADATA_PAIRS,
    MAX_NAME_CHARACTERS,
    NAMELESS,
    ByteRange,
    HeaderError,
    UnsatisfiableRangeError,
    clean_file_name,
    content_disposition,
    read_metadata,
    read_number,
    read_range,
)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("text", [None, "", "-1", "+1", "1.0", "1e3", " 1", "0x1", "١", "1" * 16])
def test_what_is_no_number_of_bytes(text: str | None) -> None:
    with pytest.raises(HeaderError, match="Upload-Length"):
        read_number("Upload-Length", text)


def test_numbers() -> None:
    assert read_number("Upload-Length", "0") == 0
    assert read_number("Upload-Length", "9" * 15) == 10**15 - 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a.pdf", "a.pdf"),
        ("Zoë été.pdf", "Zoë été.pdf"),
        ("e\u0301te\u0301.txt", "été.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ada\\a.txt", "a.txt"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie_ b"),
        ("report\u202efdp.exe", "reportfdp.exe"),
        ('a"b<c>d|e?f*.txt', "a_b_c_d_e_f_.txt"),
        (" a.txt ", "a.txt"),
        ("", NAMELESS),
        ("..", NAMELESS),
        (" . ", NAMELESS),
        ("folder/", NAMELESS),
        (".bashrc", ".bashrc"),
        ("n" * 300 + ".jpeg", "n" * 195 + ".jpeg"),
        ("n" * 300, "n" * 200),
        ("n" * 190 + "." + "e" * 100, "n" * 190 + "." + "e" * 9),
        ("\U0001f600.png", "\U0001f600.png"),
    ],
)
def test_names_are_made_harmless_and_keep_their_extension(text: str, name: str) -> None:
    assert clean_file_name(text) == name


def test_metadata() -> None:
    assert read_metadata(f"filename {encoded('été.pdf')}") == ("été.pdf", "")
    assert read_metadata(f"to {encoded('abc')}, filename {encoded('a')},other !!,flag") == ("a", "abc")
    assert read_metadata(None) == read_metadata("filename") == (NAMELESS, "")


@pytest.mark.parametrize(
    "text",
    [
        "filename !!",
        "filename YQ",
        "filename /w==",
        "filename YQ==,filename YQ==",
        "filename YQ==,",
        ",",
        ",".join(f"k{number}" for number in range(MAX_METADATA_PAIRS + 1)),
    ],
)
def test_what_is_no_metadata(text: str) -> None:
    with pytest.raises(HeaderError):
        read_metadata(text)


def test_metadata_is_bounded_in_pairs() -> None:
    read_metadata(",".join(f"k{number}" for number in range(MAX_METADATA_PAIRS)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-9", (0, 10)),
        ("BYTES=0-0", (0, 1)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=99-99", (99, 100)),
        ("bytes=9-8", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes 0-1", None),
    ],
)
def test_ranges(text: str | None, expected: tuple[int, int] | None) -> None:
    assert read_range(text, 100) == expected


@pytest.mark.parametrize(
    ("text", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=500-600", 100)]
)
def test_ranges_without_a_byte(text: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        read_range(text, size)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b.pdf", "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf"),
        ("été €.pdf", "attachment; filename=\"ete .pdf\"; filename*=UTF-8''%C3%A9t%C3%A9%20%E2%82%AC.pdf"),
        ("ملف", "attachment; filename=\"file\"; filename*=UTF-8''%D9%85%D9%84%D9%81"),
        ("100%.txt", "attachment; filename=\"100_.txt\"; filename*=UTF-8''100%25.txt"),
    ],
)
def test_disposition(name: str, expected: str) -> None:
    assert content_disposition(name) == expected


@given(st.text(max_size=400))
@example("filename " + "=" * 9)
def test_any_metadata_is_read_or_refused(text: str) -> None:
    try:
        name, to = read_metadata(text)
    except HeaderError:
        return
    assert isinstance(to, str)
    assert 1 <= len(name) <= MAX_NAME_CHARACTERS


@given(st.text(max_size=400))
def test_any_name_becomes_a_harmless_one(text: str) -> None:
    name = clean_file_name(text)
    assert 1 <= len(name) <= MAX_NAME_CHARACTERS
    assert clean_file_name(name) == name
    assert not set(name) & set("/\\\r\n\0\u202e")
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header.partition("filename*=UTF-8''")[2]) == name


@given(st.text(max_size=60) | st.from_regex(r"bytes=[0-9]{0,17}-[0-9]{0,17}", fullmatch=True), st.integers(0, 10**15))
def test_any_range_is_inside_the_file(text: str, size: int) -> None:
    try:
        found = read_range(text, size)
    except UnsatisfiableRangeError:
        return
    if found is not None:
        assert isinstance(found, ByteRange)
        assert 0 <= found.start < found.end <= size


@given(st.text(max_size=20) | st.none())
def test_any_number_is_read_or_refused(text: str | None) -> None:
    with contextlib.suppress(HeaderError):
        assert 0 <= read_number("x", text) < 10**15
