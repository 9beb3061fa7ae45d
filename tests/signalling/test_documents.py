from __future__ import annotations

import pytest

from signalling.assets import Assets, find_assets
from signalling.documents import (
    assembled,
    finished,
    graph_of,
    imports_of,
    joined_styles,
    parts_of,
    styles_of,
    with_one_style,
    without_comments,
)

CODES = {
    "js/main.js": 'import "../parts/a.js";\nimport { b } from "./b.js";\n',
    "parts/a.js": 'import {\n  c,\n  d,\n} from "../js/c.js";\n',
    "js/b.js": 'export { c } from "./c.js";\nexport * from "./main.js";\n',
    "js/c.js": "export const c = 1;\n",
    "js/late.js": "",
}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('import "./x.js";', ["js/x.js"]),
        ("import x from './x.js';", ["js/x.js"]),
        ('import * as x from "../x.js";', ["x.js"]),
        ('export { x } from "./x.js";', ["js/x.js"]),
        ('await import("./x.js");', []),
        ('import("./x.js");', []),
        ('/** @typedef {import("./x.js").X} X */', []),
        (' * import "./x.js";', []),
        ('export const x = "./x.js";', []),
        ('export function x() {}\nconst y = "./x.js";', []),
        ('import "elsewhere";', []),
        ("import.meta.url;", []),
    ],
)
def test_imports_of(line: str, found: list[str]) -> None:
    assert imports_of("js/main.js", line) == found


def test_graph_has_each_module_once_nearest_first() -> None:
    assert graph_of("js/main.js", CODES) == ["parts/a.js", "js/b.js", "js/c.js"]


def test_graph_leaves_out_what_is_not_there() -> None:
    assert graph_of("js/main.js", {"js/main.js": 'import "./gone.js";'}) == []
    assert graph_of("js/gone.js", CODES) == []


def test_a_page_is_put_together_from_its_parts() -> None:
    page = '<head>\n  <!--#include file="head.html" -->\n  <link>\n</head>\n'
    assert parts_of(page) == ["head.html"]
    assert assembled(page, {"head.html": "  <meta>\n  <title>\\1</title>\n"}) == (
        "<head>\n  <meta>\n  <title>\\1</title>\n  <link>\n</head>\n"
    )


@pytest.mark.parametrize(
    ("page", "served"),
    [
        ("<p>\n  <!-- one\n  two -->\n</p>\n", "<p>\n</p>\n"),
        ("<p>a<!-- b -->c</p>\n", "<p>ac</p>\n"),
        ("  <!-- a --><b></b><!-- c -->\n<p>\n", "  <b></b>\n<p>\n"),
        ("<!-- a -->\n<p>--></p>\n", "<p>--></p>\n"),
        ("<p><!-- without an end</p>\n", "<p><!-- without an end</p>\n"),
    ],
)
def test_comments_are_left_out_and_nothing_else(page: str, served: str) -> None:
    assert without_comments(page) == served


def test_a_page_names_its_version_and_preloads_its_modules() -> None:
    page = (
        '<meta name="languages" content="">\n<meta name="other" content="">\n<link href="/assets/a.css">\n'
        '  <script type="module" src="/assets/js/b.js"></script>\n'
    )
    assert finished(page, CODES, "/assets/0f/", {"languages": 'en "fr'}) == (
        '<meta name="languages" content="en &quot;fr">\n<meta name="other" content="">\n'
        '<link href="/assets/0f/a.css">\n'
        '  <link rel="modulepreload" href="/assets/0f/js/c.js">\n'
        '  <link rel="modulepreload" href="/assets/0f/js/main.js">\n'
        '  <link rel="modulepreload" href="/assets/0f/parts/a.js">\n'
        '  <script type="module" src="/assets/0f/js/b.js"></script>\n'
    )


def test_what_is_preloaded_for_later_brings_what_it_needs_and_nothing_twice() -> None:
    codes = {"a.js": 'import "./b.js";', "b.js": "", "later.js": 'import "./b.js";\nimport "./c.js";', "c.js": ""}
    page = '<script type="module" src="/assets/a.js"></script>\n<link rel="modulepreload" href="/assets/later.js">\n'
    assert finished(page, codes, "/assets/0f/", {}) == (
        '<link rel="modulepreload" href="/assets/0f/b.js">\n'
        '<script type="module" src="/assets/0f/a.js"></script>\n'
        '<link rel="modulepreload" href="/assets/0f/later.js">\n'
        '<link rel="modulepreload" href="/assets/0f/c.js">\n'
    )


def test_stylesheets_are_joined_in_order_and_find_their_files() -> None:
    page = (
        '<head>\n  <link rel="stylesheet" href="/assets/styles/base.css">\n'
        '  <link rel="stylesheet" href="/assets/parts/a/a.css">\n</head>\n'
    )
    assert styles_of(page) == ["styles/base.css", "parts/a/a.css"]
    assert with_one_style(page, "x.css") == '<head>\n    <link rel="stylesheet" href="/assets/x.css">\n</head>\n'
    sheets = {
        "styles/base.css": 'p { background: url("dot.svg") }',
        "parts/a/a.css": 'b { background: url("../b/c.svg"), url("data:image/png,x") }',
    }
    assert joined_styles(sheets) == (
        'p { background: url("styles/dot.svg") }\nb { background: url("parts/b/c.svg"), url("data:image/png,x") }'
    )


def test_everything_that_our_own_pages_name_is_there() -> None:
    directory = find_assets()
    assets = Assets(directory)
    codes = {
        path.relative_to(directory).as_posix(): path.read_text()
        for path in directory.rglob("*.js")
        if "node_modules" not in path.parts
    }
    for module, code in codes.items():
        for name in imports_of(module, code):
            assert name in codes, f"{module} imports {name}"
        assert "/assets/" not in code, f"{module} names a file without its version: use assetUrl"
    for style in directory.rglob("*.css"):
        assert "/assets/" not in style.read_text(), f"{style} names a file without its version: let it be relative"
    pages = {page for page in directory.glob("*.html") if page.read_text().startswith("<!doctype html>")}
    assert {part for page in pages for part in parts_of(page.read_text())} == {"head.html"}
    for page in pages:
        text = assets.get(page.name).body.decode()  # type: ignore[union-attr]
        assert "<!--" not in text
        assert "<script>" not in text
        named = [part.partition('"')[0] for part in text.split('="/assets/')[1:]]
        relative = [part.partition('"')[0] for part in text.split('src="js/')[1:]]
        assert named or relative
        assert all(f"js/{name}" in codes for name in relative)
        for name in named:
            assert assets.find(name) == (assets.get(name.partition("/")[2]), True), name
            assert assets.find(name)[0] is not None, f"{page.name} names {name}"
