/** Single keys that do what a button does. They never fire while somebody types, chooses in a menu or a dialog, or holds Ctrl, Alt or Cmd. */

/** @typedef {"microphone" | "camera" | "share" | "hand" | "react" | "chat" | "people" | "questions" | "view" | "pip" | "invite" | "settings" | "shortcuts" | "close" | "talk"} Deed */

/** @type {Map<string, Deed>} */
export const KEYS = new Map([
  ["m", "microphone"],
  ["v", "camera"],
  ["s", "share"],
  ["h", "hand"],
  ["r", "react"],
  ["c", "chat"],
  ["p", "people"],
  ["q", "questions"],
  ["l", "view"],
  ["w", "pip"],
  ["i", "invite"],
  [",", "settings"],
  ["?", "shortcuts"],
  ["Escape", "close"],
  [" ", "talk"],
]);

/** How the key for that is written; empty: there is none. @param {string} deed */
export function keyOf(deed) {
  return [...KEYS].find(([, each]) => each === deed)?.[0].toUpperCase() ?? "";
}

const TYPING = "input:not([type=checkbox], [type=radio], [type=range], [type=button]), textarea, select, [contenteditable]";
const ELSEWHERE = "dialog[open], [role=menu]";

/** @typedef {{key: string, code: string, repeat: boolean, ctrlKey: boolean, altKey: boolean, metaKey: boolean, target: EventTarget | null}} Stroke */

/** What this key is for; nothing while typing. @param {Stroke} stroke @returns {Deed | ""} */
export function deedOf({ key, code, repeat, ctrlKey, altKey, metaKey, target }) {
  if (repeat || ctrlKey || altKey || metaKey) return "";
  const element = /** @type {Element | null} */ (target && "closest" in target ? target : null);
  if (element?.closest(ELSEWHERE) || (key !== "Escape" && element?.closest(TYPING))) return "";
  // Where a keyboard has no Latin letters, the key in the same place counts.
  const letter = /^[a-z]$/i.test(key) || !code.startsWith("Key") ? key : code.slice(3);
  return KEYS.get(letter.length === 1 ? letter.toLowerCase() : letter) ?? "";
}

export class Shortcuts {
  #held = false;

  /**
   * @param {{enabled(): boolean, pushToTalk(): boolean, do(deed: Deed): boolean, talk(on: boolean): void}} page
   *   `do` says whether there was something to do
   */
  constructor(page) {
    this.page = page;
    document.addEventListener("keydown", (event) => this.#down(event));
    document.addEventListener("keyup", (event) => this.#up(event));
    addEventListener("blur", () => this.#release());
    document.addEventListener("visibilitychange", () => document.hidden && this.#release());
  }

  /** @param {KeyboardEvent} event */
  #down(event) {
    if (event.defaultPrevented) return;
    // A held key repeats: the page must not scroll and the focused button not be pressed.
    if (this.#held && event.key === " ") event.preventDefault();
    const deed = deedOf(event);
    if (deed === "talk") {
      if (!this.page.pushToTalk()) return;
      this.#held = true;
      event.preventDefault();
      this.page.talk(true);
    } else if (deed && (this.page.enabled() || deed === "close") && this.page.do(deed)) event.preventDefault();
  }

  /** @param {KeyboardEvent} event */
  #up(event) {
    if (!this.#held || event.key !== " ") return;
    event.preventDefault();
    this.#release();
  }

  #release() {
    if (!this.#held) return;
    this.#held = false;
    this.page.talk(false);
  }
}
