// A classic script, run before the first paint: a chosen theme must not flash the other one, and the words of the chosen
// language are fetched beside the modules that will show them. What was chosen is `data-theme`; how that and the system make the
// page look is `data-look`: light, dark, contrast or dark contrast.
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
  const [dark, more] = ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"].map((query) => matchMedia(query));
  const look = () => {
    const { theme } = documentElement.dataset;
    const is = [(theme === "dark" || (theme !== "light" && dark.matches)) && "dark", (theme === "contrast" || more.matches) && "contrast"];
    documentElement.dataset.look = is.filter(Boolean).join(" ") || "light";
  };
  look();
  for (const query of [dark, more]) query.addEventListener?.("change", look);
  new MutationObserver(look).observe(documentElement, { attributeFilter: ["data-theme"] });
  const spoken = document.querySelector('meta[name="languages"]')?.getAttribute("content")?.split(" ") ?? [];
  const wanted = [chosen.language, ...navigator.languages].map((tag) => String(tag).slice(0, 2).toLowerCase());
  const language = wanted.find((tag) => spoken.includes(tag));
  if (!language) return;
  const words = document.createElement("link");
  const href = new URL(`../locales/${language}.json`, /** @type {HTMLScriptElement} */ (currentScript).src).href;
  Object.assign(words, { rel: "preload", as: "fetch", crossOrigin: "anonymous", fetchPriority: "high", href });
  head.append(words);
})();
