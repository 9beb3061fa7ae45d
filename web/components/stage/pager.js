/** The buttons that turn pages, with the keys and the swipe that do the same. */

import { make, write } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";

/** @typedef {import("../../js/layout.js").Box} Box */

const SWIPE_PX = 60;
/** Where these keys mean something else. */
const OTHER_KEYS = "input, textarea, select, dialog, [role=menu], turnd-chat, turnd-people, turnd-questions";

export class Pager {
  #words = make("span", { class: "pager-words", "aria-hidden": "true" });
  #spoken = make("span", { class: "off-screen", role: "status" });
  #back = make("button", { class: "round pager-button", type: "button", label: "stage.page-back", data: { action: "page-back" } }, icon("previous"));
  #on = make("button", { class: "round pager-button", type: "button", label: "stage.page-on", data: { action: "page-on" } }, icon("next"));
  element = make("nav", { class: "stage-pager", label: "stage.pages", hidden: true }, this.#back, this.#words, this.#spoken, this.#on);
  page = 0;
  pages = 1;

  /** @param {(page: number) => void} turn */
  constructor(turn) {
    this.turn = turn;
    this.#back.addEventListener("click", () => this.#by(-1));
    this.#on.addEventListener("click", () => this.#by(1));
  }

  /** @param {number} page @param {number} pages @param {Box | null} box */
  show(page, pages, box) {
    this.page = page;
    this.pages = pages;
    const { element } = this;
    element.hidden = box === null;
    if (!box) return;
    const { style } = element;
    const place = `${Math.round(box.y)} ${Math.round(box.width)}`;
    if (element.dataset.place !== place) {
      element.dataset.place = place;
      style.insetInlineStart = `${Math.round(box.x)}px`;
      style.top = `${Math.round(box.y)}px`;
      style.width = `${Math.round(box.width)}px`;
    }
    const words = `${page + 1}/${pages}`;
    write(this.#words, words);
    const spoken = t("stage.page", { page: page + 1, pages });
    write(this.#spoken, spoken);
    this.#back.disabled = page === 0;
    this.#on.disabled = page === pages - 1;
  }

  /** @param {number} step */
  #by(step) {
    const page = Math.min(this.pages - 1, Math.max(0, this.page + step));
    if (page !== this.page) this.turn(page);
  }

  /** @param {KeyboardEvent} event */
  key = (event) => {
    if (this.pages < 2 || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key !== "PageUp" && event.key !== "PageDown") return;
    if (event.target instanceof Element && event.target.closest(OTHER_KEYS)) return;
    event.preventDefault();
    this.#by(event.key === "PageUp" ? -1 : 1);
  };

  /** @param {HTMLElement} area */
  swipes(area) {
    /** @type {Touch | null} */
    let start = null;
    area.addEventListener("touchstart", ({ touches }) => (start = touches.length === 1 ? touches[0] : null), { passive: true });
    area.addEventListener("touchend", ({ changedTouches, target }) => {
      if (!start || (target instanceof Element && target.closest(".is-floating"))) return;
      const across = changedTouches[0].clientX - start.clientX;
      const down = changedTouches[0].clientY - start.clientY;
      start = null;
      if (Math.abs(across) < SWIPE_PX || Math.abs(across) < 2 * Math.abs(down)) return;
      const forward = (across < 0) === (document.documentElement.dir !== "rtl");
      this.#by(forward ? 1 : -1);
    });
  }
}
