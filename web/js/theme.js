// A classic script, run before the first paint: a chosen theme must not flash the other one, and the words of the chosen
// language are fetched beside the modules that will show them.
(() => {
  /** @type {{theme?: unknown, language?: unknown}} */
  let chosen = {};
  try {
    chosen = JSON.parse(localStorage.getItem("turnd") ?? "{}");
  } catch {
    // The system's theme and language it is.
  }
  const { documentElement, head, currentScript } = document;
  if (chosen.theme === "light" || chosen.theme === "dark" || chosen.theme === "contrast") documentElement.dataset.theme = chosen.theme;
  const spoken = document.querySelector('meta[name="languages"]')?.getAttribute("content")?.split(" ") ?? [];
  const wanted = [chosen.language, ...navigator.languages].map((tag) => String(tag).slice(0, 2).toLowerCase());
  const language = wanted.find((tag) => spoken.includes(tag));
  if (!language) return;
  const words = document.createElement("link");
  const href = new URL(`../locales/${language}.json`, /** @type {HTMLScriptElement} */ (currentScript).src).href;
  Object.assign(words, { rel: "preload", as: "fetch", crossOrigin: "anonymous", fetchPriority: "high", href });
  head.append(words);
})();
