/**
 * A menu that opens at a button: arrow keys, Home and End, first letters; Escape, Tab or a press elsewhere closes it, and the
 * focus goes back to the button. Its items are made anew each time it opens, so they always say what holds now.
 */

import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";

/** @typedef {import("../../js/icons.js").IconName} IconName */

/**
 * @typedef {object} MenuItem
 * @property {string} text key of its words
 * @property {Record<string, string | number>} [values] of the words
 * @property {string} [action] its `data-action`
 * @property {Record<string, string>} [data] more of its dataset
 * @property {IconName} [icon]
 * @property {() => void} [press]
 * @property {string} [href] a page of its own, opened beside this one
 * @property {string} [refused] key of the reason why it cannot be pressed now
 * @property {string} [hint] shown at its end, such as a key of the keyboard
 * @property {boolean} [danger] cannot be undone
 * @property {boolean} [row] stands in one row with its neighbours
 */

/** Kept from the edge of the window, and from the button. */
const MARGIN = 8;

/** @type {Menu | null} the one that is open */
let open = null;

/**
 * Makes this button open a menu.
 * @param {HTMLButtonElement} button @param {() => MenuItem[]} items called at each opening @param {string} label key
 * @param {() => HTMLButtonElement} [at] the button it opens at, if that is another one
 */
export function opensMenu(button, items, label, at = () => button) {
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const again = open?.button === at();
    open?.close();
    if (!again) showMenu(at(), items(), label);
  });
}

/** @param {HTMLButtonElement} button @param {MenuItem[]} items @param {string} label key */
export function showMenu(button, items, label) {
  open?.close();
  open = new Menu(button, items, label);
}

class Menu {
  /** @param {HTMLButtonElement} button @param {MenuItem[]} items @param {string} label */
  constructor(button, items, label) {
    this.button = button;
    this.list = make("div", { class: "menu", role: "menu", label, tabindex: "-1" });
    /** @type {HTMLElement | null} */
    let row = null;
    for (const item of items) {
      if (item.row) {
        row ??= make("div", { class: "menu-row", role: "presentation" });
        this.list.append(row);
        row.append(this.#item(item));
      } else this.list.append(this.#item(item));
    }
    // Above everything, in the top layer where there is one; a dialog makes all outside it unreachable.
    if ("popover" in this.list) this.list.popover = "manual";
    (button.closest("dialog") ?? button.closest("turnd-call") ?? document.body).append(this.list);
    if ("popover" in this.list) this.list.showPopover();
    this.#place();
    this.list.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", this.#pressedElsewhere, true);
    addEventListener("resize", this.#resized);
    button.setAttribute("aria-expanded", "true");
    this.#items[0]?.focus();
  }

  /** @param {boolean} [focus] whether the button is where the person goes on */
  close(focus = false) {
    if (open === this) open = null;
    document.removeEventListener("pointerdown", this.#pressedElsewhere, true);
    removeEventListener("resize", this.#resized);
    this.list.remove();
    this.button.setAttribute("aria-expanded", "false");
    if (focus) this.button.focus();
  }

  get #items() {
    return /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll("[role=menuitem]")]);
  }

  /** @param {MenuItem} item */
  #item({ text, values, action = "", data = {}, icon: name, press, href, refused, hint, danger, row }) {
    const properties = { class: `menu-item${danger ? " is-danger" : ""}${row ? " is-in-row" : ""}`, role: "menuitem", tabindex: "-1", data: { action, ...data } };
    const element = href
      ? make("a", { ...properties, href, target: "_blank", rel: "noopener" })
      : make("button", { ...properties, type: "button", ...(refused && { "aria-disabled": "true" }) });
    const words = make("span", { class: "menu-words" });
    words.textContent = t(text, values);
    if (refused) words.append(Object.assign(make("span", { class: "menu-reason" }), { textContent: t(refused) }));
    if (name) element.append(icon(name));
    element.append(words);
    if (hint) element.append(make("kbd", { class: "menu-hint", "aria-hidden": "true" }, hint));
    element.addEventListener("click", () => {
      if (refused) return;
      this.close(true);
      press?.();
    });
    return element;
  }

  /** Above the button if there is more room there, as wide as the window allows. */
  #place() {
    const { list } = this;
    const at = this.button.getBoundingClientRect();
    const above = at.top - 2 * MARGIN;
    const below = innerHeight - at.bottom - 2 * MARGIN;
    const upwards = above >= below;
    list.style.maxHeight = `${Math.max(above, below)}px`;
    const { width, height } = list.getBoundingClientRect();
    const rightToLeft = getComputedStyle(this.button).direction === "rtl";
    const middle = rightToLeft ? at.right - width : at.left;
    const left = width > at.width * 1.5 && innerWidth - at.left < width + MARGIN ? at.right - width : middle;
    list.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
    list.style.top = `${upwards ? at.top - MARGIN - height : at.bottom + MARGIN}px`;
  }

  #resized = () => this.close();

  #pressedElsewhere = (/** @type {PointerEvent} */ event) => {
    const target = /** @type {Node} */ (event.target);
    // A press on the button itself closes it there.
    if (!this.list.contains(target) && !this.button.contains(target)) this.close();
  };

  /** @param {KeyboardEvent} event */
  #key(event) {
    const items = this.#items;
    const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: now + 1, ArrowRight: now + 1, ArrowUp: now - 1, ArrowLeft: now - 1, Home: 0, End: -1 }[event.key];
    event.stopPropagation();
    if (to !== undefined) items.at(to % items.length)?.focus();
    else if (event.key === "Escape") this.close(true);
    else if (event.key === "Tab") this.close(true);
    else if (event.key.length === 1 && event.key !== " ") this.#letter(event.key, items, now);
    else return;
    if (event.key !== "Tab") event.preventDefault();
  }

  /** @param {string} letter @param {HTMLElement[]} items @param {number} now */
  #letter(letter, items, now) {
    const later = [...items.slice(now + 1), ...items.slice(0, now + 1)];
    later.find((each) => each.textContent?.toLowerCase().startsWith(letter.toLowerCase()))?.focus();
  }
}
