import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

const SCRIPT = readFileSync(new URL("../../web/js/theme.js", import.meta.url), "utf8");
const DARK = "(prefers-color-scheme: dark)";
const MORE = "(prefers-contrast: more)";

/** The page before its first paint, as far as a look goes. */
function page({ remembered = {}, system = [] } = {}) {
  const queries = new Map([DARK, MORE].map((query) => [query, Object.assign(new EventTarget(), { matches: system.includes(query) })]));
  const dataset = {};
  let themeChanged;
  runInNewContext(SCRIPT, {
    document: { documentElement: { dataset }, querySelector: () => null },
    localStorage: { getItem: () => JSON.stringify(remembered) },
    matchMedia: (query) => queries.get(query),
    navigator: { languages: [] },
    MutationObserver: class {
      constructor(heard) {
        this.heard = heard;
      }
      observe(element, { attributeFilter }) {
        if (element.dataset === dataset && attributeFilter.includes("data-theme")) themeChanged = this.heard;
      }
    },
  });
  return {
    look: () => dataset.look,
    choose(theme) {
      if (theme) dataset.theme = theme;
      else delete dataset.theme;
      themeChanged();
    },
    say(query, matches) {
      queries.get(query).matches = matches;
      queries.get(query).dispatchEvent(new Event("change"));
    },
  };
}

test("the look is that of the system unless another was chosen", () => {
  const looks = (theme) => [[], [DARK], [MORE], [DARK, MORE]].map((system) => page({ remembered: { theme }, system }).look());
  assert.deepEqual(looks(""), ["light", "dark", "contrast", "dark contrast"]);
  assert.deepEqual(looks("light"), ["light", "light", "contrast", "contrast"]);
  assert.deepEqual(looks("dark"), ["dark", "dark", "dark contrast", "dark contrast"]);
  assert.deepEqual(looks("contrast"), ["contrast", "dark contrast", "contrast", "dark contrast"]);
  assert.deepEqual(looks("purple"), looks(""));
});

test("the look follows the system and the choice while the page is open", () => {
  const { look, choose, say } = page();
  say(DARK, true);
  assert.equal(look(), "dark");
  say(MORE, true);
  assert.equal(look(), "dark contrast");
  choose("light");
  assert.equal(look(), "contrast");
  say(MORE, false);
  assert.equal(look(), "light");
  choose("");
  assert.equal(look(), "dark");
});
