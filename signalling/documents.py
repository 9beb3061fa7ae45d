"""What becomes of an HTML file before it is served.

What pages share is put in, comments are left out, files named by their content, modules told at once, styles joined.
Pure: text of files in, text of a page out (HTML Living Standard §4.6.7, modulepreload; ECMA-262, ImportDeclaration).
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Mapping
from typing import Final

ASSETS: Final = "/assets/"

# Of code as ours is formatted: a declaration begins its line. `import(…)` in comments and calls is none.
_STATIC_IMPORT = re.compile(
    r"^(?:import|export)\b(?:[\w$*{},\s]*?\bfrom\b)?\s*[\"'](\.{1,2}/[^\"']+)[\"']", re.MULTILINE
)
_ENTRY = re.compile(r'^([ \t]*)<script type="module" src="/assets/([^"]+)"', re.MULTILINE)
_LATER = re.compile(r'^([ \t]*)<link rel="modulepreload" href="/assets/([^"]+)">\n', re.MULTILINE)
_REFERENCE = re.compile(r'(?<==")/assets/')
_STYLE = re.compile(r'^[ \t]*<link rel="stylesheet" href="/assets/([^"]+)">\n', re.MULTILINE)
_STYLE_URL = re.compile(r'url\("([^":]+)"\)')
_META = re.compile(r'<meta name="([a-z-]+)" content="">')
# Whole lines of it, where nothing else stands in them.
_COMMENT = re.compile(r"^[ \t]*<!--(?:(?!-->).)*-->\n|<!--.*?-->", re.MULTILINE | re.DOTALL)
_INCLUSION = re.compile(r'^[ \t]*<!--#include file="([^"]+)" -->\n', re.MULTILINE)


def parts_of(page: str) -> list[str]:
    """The files that the page includes, as paths of the tree."""
    return _INCLUSION.findall(page)


def assembled(page: str, parts: Mapping[str, str]) -> str:
    """The page with each of its parts in its place."""
    return _INCLUSION.sub(lambda inclusion: parts[inclusion[1]], page)


def without_comments(page: str) -> str:
    """The page without what is for those who read its file; it has no script within it, as the CSP wants it."""
    return _COMMENT.sub("", page)


def imports_of(module: str, code: str) -> list[str]:
    """The modules that `code` at the path `module` imports statically, as paths of the same tree, in order."""
    folder = posixpath.dirname(module)
    return [posixpath.normpath(posixpath.join(folder, name)) for name in _STATIC_IMPORT.findall(code)]


def graph_of(entry: str, codes: Mapping[str, str]) -> list[str]:
    """All modules that `entry` needs before its first line runs, nearest first, without itself and unknown ones."""
    found = {entry: None}
    for module in (pending := [entry]):
        for name in imports_of(module, codes.get(module, "")):
            if name in codes and name not in found:
                found[name] = None
                pending.append(name)
    return list(found)[1:]


def styles_of(page: str) -> list[str]:
    """The stylesheets that the page links, in order, as paths of the tree."""
    return _STYLE.findall(page)


def joined_styles(styles: Mapping[str, str]) -> str:
    """All of them as one sheet that stands at the root of the tree: one request in place of twenty."""

    def moved(path: str, sheet: str) -> str:
        folder = posixpath.dirname(path)
        return _STYLE_URL.sub(lambda url: f'url("{posixpath.normpath(posixpath.join(folder, url[1]))}")', sheet)

    return "\n".join(moved(path, sheet) for path, sheet in styles.items())


def with_one_style(page: str, name: str) -> str:
    """The page with the sheet `name` in the place of all it links."""
    link = f'    <link rel="stylesheet" href="{ASSETS}{name}">\n'
    first = _STYLE.search(page)
    return _STYLE.sub(lambda style: link if first and style.start() == first.start() else "", page)


def _preloads(indent: str, modules: list[str]) -> str:
    return "".join(f'{indent}<link rel="modulepreload" href="{ASSETS}{module}">\n' for module in modules)


def with_preloads(page: str, codes: Mapping[str, str]) -> str:
    """The page with a link for each module that its entries need, and each that it preloads by itself, none twice."""
    told: set[str] = set()
    for entry in _ENTRY.finditer(page):
        told.update([entry[2], *graph_of(entry[2], codes)])

    def new(modules: list[str]) -> list[str]:
        fresh = [module for module in modules if module not in told]
        told.update(fresh)
        return fresh

    def before_entry(entry: re.Match[str]) -> str:
        return _preloads(entry[1], graph_of(entry[2], codes)) + entry[0]

    def later(link: re.Match[str]) -> str:
        return _preloads(link[1], new([link[2], *graph_of(link[2], codes)]))

    return _ENTRY.sub(before_entry, _LATER.sub(later, page))


def finished(page: str, codes: Mapping[str, str], base: str, metas: Mapping[str, str]) -> str:
    """The page as it is served: empty `<meta>` of `metas` filled, modules preloaded, `/assets/` turned into `base`."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        return f'<meta name="{name}" content="{html.escape(metas[name])}">' if name in metas else match[0]

    return _REFERENCE.sub(base, with_preloads(_META.sub(fill, page), codes))
