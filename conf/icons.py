"""Draws the PNG icons of the installed web app from web/styles/mark.svg, by hand when the mark changes.

.venv/bin/python conf/icons.py
"""

import asyncio
from pathlib import Path

from playwright.async_api import async_playwright

WEB = Path(__file__).resolve().parents[1] / "web"
# (file, side, how large the mark is drawn): a mask may cut off all but a circle of 80 %, in which its arcs lie.
ICONS = (("icon-192", 192, 1.0), ("icon-512", 512, 1.0), ("maskable-512", 512, 1.2))
GROUND = "#0b6b62"


async def draw() -> None:
    """Writes all of them."""
    mark = (WEB / "styles" / "mark.svg").read_text()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, side, part in ICONS:
            page = await browser.new_page(viewport={"width": side, "height": side})
            ground = "transparent" if part == 1 else GROUND
            style = f"margin:0;height:100vh;display:grid;place-items:center;background:{ground}"
            await page.set_content(
                f'<body style="{style}">{mark}<style>svg {{ width: {part:.0%}; height: auto }}</style>'
            )
            await page.screenshot(path=WEB / "icons" / f"{name}.png", omit_background=True)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(draw())
