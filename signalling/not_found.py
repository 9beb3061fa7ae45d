"""The page where nothing is, in the languages of the web page (`web/locales`), which it must not need to be found."""

from __future__ import annotations

import html
from typing import Final

from aiohttp import web

_RIGHT_TO_LEFT: Final = frozenset({"ar"})
_WORDS: Final = {
    "ar": (
        "لا شيء هنا",
        "يتكوّن اسم الغرفة من 1 إلى 64 من الحروف a-z والأرقام والواصلات.",
        "إنشاء غرفة أو فتحها",
    ),
    "de": (
        "Hier ist nichts",
        "Der Name eines Raums besteht aus 1 bis 64 Buchstaben a-z, Ziffern und Bindestrichen.",
        "Raum anlegen oder öffnen",
    ),
    "en": ("Nothing here", "A room’s name is made of 1 to 64 letters a-z, digits and hyphens.", "Make or open a room"),
    "es": (
        "Aquí no hay nada",
        "El nombre de una sala se compone de 1 a 64 letras a-z, cifras y guiones.",
        "Crear o abrir una sala",
    ),
    "fr": (
        "Rien ici",
        "Le nom d’une salle est fait de 1 à 64 lettres a-z, chiffres et tirets.",
        "Créer ou ouvrir une salle",
    ),
    "it": (
        "Qui non c’è nulla",
        "Il nome di una stanza è fatto da 1 a 64 lettere a-z, cifre e trattini.",
        "Crea o apri una stanza",
    ),
    "nl": (
        "Hier is niets",
        "De naam van een ruimte bestaat uit 1 tot 64 letters a-z, cijfers en streepjes.",
        "Een ruimte maken of openen",
    ),
    "pt": (
        "Não há nada aqui",
        "O nome de uma sala é feito de 1 a 64 letras a-z, algarismos e hífenes.",
        "Criar ou abrir uma sala",
    ),
}


def preferred_language(accepted: str) -> str:
    """The first of an Accept-Language header that is spoken here, in the order browsers write it, else English."""
    tags = (item.strip()[:2].lower() for item in accepted.split(","))
    return next((tag for tag in tags if tag in _WORDS), "en")


def not_found_page(request: web.Request) -> web.Response:
    """404, in words."""
    language = preferred_language(request.headers.get("Accept-Language", ""))
    title, text, link = (html.escape(part) for part in _WORDS[language])
    direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
    body = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<title>{title}</title><h1>{title}</h1><p>{text}</p><p><a href="/">{link}</a></p></html>'
    )
    return web.Response(status=404, text=body, content_type="text/html", headers={"Vary": "Accept-Language"})
