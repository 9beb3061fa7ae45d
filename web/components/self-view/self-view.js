/** Where our own picture is to be: for the settings, where it can be found again when it is hidden. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { SELF_VIEWS, chooseSelfView } from "../../js/stage-choices.js";

/** @typedef {import("../../js/state.js").State} State */

/** @typedef {import("../../js/seating.js").SelfView} SelfView */

/** @type {SelfView[]} */
const CHOICES = ["", ...SELF_VIEWS];

class SelfViewChoice extends View {
  #group = make("div", { class: "choice", role: "group", label: "self-view" });
  #buttons = new Map(CHOICES.map((each) => [each, make("button", { class: "choice-item", type: "button", text: `self-view.${each || "automatic"}`, data: { selfView: each || "automatic" }, on: { click: () => chooseSelfView(this.call.store, each) } })]));

  /** @override */
  build() {
    this.className = "form-row";
    this.#group.append(...this.#buttons.values());
    this.append(make("span", { class: "form-label", text: "self-view" }), this.#group);
  }

  /** @override @param {State} state */
  update({ selfView }) {
    for (const [each, button] of this.#buttons) button.setAttribute("aria-pressed", String(each === selfView));
  }
}

customElements.define("turnd-self-view", SelfViewChoice);
