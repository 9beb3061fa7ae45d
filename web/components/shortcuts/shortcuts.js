/** The list of keys. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { KEYS } from "../../js/shortcuts.js";

/** @typedef {import("../../js/state.js").State} State */

const NAMED = new Map([["Escape", "shortcut.key.escape"], [" ", "shortcut.key.space"]]);

export class ShortcutList extends View {
  #dialog = make("dialog", { class: "dialog shortcuts", "aria-labelledby": "shortcuts-title", data: { dialog: "shortcuts", opens: "openshortcuts" } });
  #list = make("dl", { class: "shortcuts-list" });
  #off = make("p", { class: "hint", text: "shortcuts.off" });
  #words = "";

  /** @override */
  build() {
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-shortcuts" }, on: { click: () => this.#dialog.close() } });
    close.append(icon("close"));
    this.#dialog.append(
      make("header", { class: "dialog-head" }, make("h2", { text: "more.shortcuts", id: "shortcuts-title" }), close),
      this.#off,
      this.#list,
      make("p", { class: "hint", text: "shortcuts.hint" }),
    );
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.append(this.#dialog);
  }

  /** @override @param {State} state */
  update({ choices }) {
    this.#off.hidden = choices.shortcuts;
    const rows = [...KEYS].map(([key, deed]) => {
      const off = deed === "talk" ? !choices.pushToTalk : !choices.shortcuts && deed !== "close";
      return { name: NAMED.has(key) ? t(NAMED.get(key) ?? "") : key.toUpperCase(), words: t(`shortcut.${deed}`), off };
    });
    const words = JSON.stringify(rows);
    if (words === this.#words) return;
    this.#words = words;
    this.#list.replaceChildren(
      ...rows.map(({ name, words: what, off }) => make("div", { class: off ? "is-off" : "" }, make("dt", {}, make("kbd", {}, name)), make("dd", {}, what))),
    );
  }

  open() {
    this.#dialog.showModal();
  }
}

customElements.define("turnd-shortcuts", ShortcutList);
