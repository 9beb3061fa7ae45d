"""axe-core on a page: what keeps somebody from using it. The CSP lets no script tag in; an expression is let in."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.browsers import Browser
from tests.e2e.daemon import REPOSITORY

AXE = REPOSITORY / "web" / "node_modules" / "axe-core" / "axe.min.js"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SERIOUS = ("serious", "critical")


async def violations(browser: Browser, within: str = "body") -> list[dict[str, Any]]:
    """Everything that axe-core finds below a selector: `rule`, `impact`, `help` and the `elements` concerned."""
    if not await browser.evaluate("'axe' in window"):
        await browser.evaluate(f"() => {{ {AXE.read_text()}; return true; }}")
    options = json.dumps({"runOnly": STANDARDS, "resultTypes": ["violations"]})
    return await browser.evaluate(
        f"""async () => {{
            const {{ violations }} = await axe.run({json.dumps(within)}, {options});
            return violations.map(({{ id, impact, help, nodes }}) => ({{
              rule: id, impact, help,
              elements: nodes.map(({{ html, failureSummary }}) => html.slice(0, 200) + "\\n" + failureSummary) }}));
        }}"""
    )


async def serious(browser: Browser, view: str, within: str = "body") -> list[str]:
    """What serious things axe-core finds in what is shown now."""
    found = [one for one in await violations(browser, within) if one["impact"] in SERIOUS]
    return [f"{view}: {one['impact']} {one['rule']}: {one['help']}\n  " + "\n  ".join(one["elements"]) for one in found]


async def nothing_serious(browser: Browser, view: str, within: str = "body") -> None:
    """Asserts that this is nothing."""
    found = await serious(browser, view, within)
    assert not found, "\n".join(found)
