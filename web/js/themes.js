/** How the page looks, as chosen. `theme.js` says before the first paint, and from then on, how that looks with what the system asks for. */

import { preferences } from "./preferences.js";

/** Empty: as the system says. */
export const THEMES = /** @type {const} */ (["", "light", "dark", "contrast"]);

/** @typedef {(typeof THEMES)[number]} Theme */

/** What browsers paint around the page: `--paper`. @type {Record<"light" | "dark", string>} */
const AROUND = { light: "#faf9f6", dark: "#111718" };

/** @param {unknown} value @returns {value is Theme} */
export function isTheme(value) {
  return THEMES.some((theme) => theme === value);
}

/** @param {Theme} theme */
export function showTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  for (const meta of document.querySelectorAll('meta[name="theme-color"]')) {
    const system = meta.getAttribute("media")?.includes("dark") ? "dark" : "light";
    meta.setAttribute("content", AROUND[theme === "light" || theme === "dark" ? theme : system]);
  }
}

/** What was chosen here before. */
export function showRememberedTheme() {
  const { theme } = preferences();
  showTheme(isTheme(theme) ? theme : "");
}
