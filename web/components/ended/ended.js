/** After the call: back in, or a new room. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";

/** @typedef {import("../../js/state.js").State} State */

class Ended extends View {
  #title = make("h1");
  #text = make("p", { class: "hint" });

  /** @override */
  build() {
    const again = make("button", { class: "button primary", type: "button", text: "ended.again", data: { action: "rejoin" }, on: { click: () => this.call.store.set({ phase: "lobby", ended: "" }) } });
    const home = make("a", { class: "button", href: "/", text: "ended.home", data: { action: "home" } });
    this.append(make("main", { class: "card ended-card" }, this.#title, this.#text, make("div", { class: "ended-buttons" }, again, home)));
  }

  /** @override @param {State} state */
  update(state) {
    const why = state.ended === "replaced" || state.ended === "ended" ? state.ended : "left";
    setText(this.#title, `ended.${why}`);
    setText(this.#text, `ended.${why}.text`);
  }
}

customElements.define("turnd-ended", Ended);
