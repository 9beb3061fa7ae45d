/** A button that copies a link, and says whether it did. */

import { make, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";

const SAY_COPIED_MS = 2500;

/** @param {string} text @returns {Promise<boolean>} */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard outside https: the old way still works.
    const area = make("textarea", { class: "off-screen", readonly: true });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** @param {() => string} link @param {string} className @param {string} [text] key */
export function copyLinkButton(link, className, text = "link.copy") {
  const symbol = icon("link");
  const words = make("span", { text, "aria-live": "polite" });
  const button = make("button", { class: className, type: "button", data: { action: "copy-link" } }, symbol, words);
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  button.addEventListener("click", async () => {
    const done = await copy(link());
    draw(symbol, done ? "check" : "warning");
    setText(words, done ? "link.copied" : "link.not-copied");
    clearTimeout(timer);
    timer = setTimeout(() => {
      draw(symbol, "link");
      setText(words, text);
    }, SAY_COPIED_MS);
  });
  return button;
}
