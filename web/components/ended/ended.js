/** After the call: back in, or a new room. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";

/** @typedef {import("../../js/state.js").State} State */

const REASONS = ["left", "replaced", "removed", "banned", "ended"];

/** @param {string} why @param {State} state */
function textOf(why, { broadcast, endedAlone }) {
  if (why === "ended" && broadcast) return "ended.webinar";
  // A room ends with the last who is in it.
  return why === "left" && endedAlone ? "left.alone" : `${why}.text`;
}

class Ended extends View {
  #title = make("h1");
  #text = make("p", { class: "hint" });
  #again = make("button", { class: "button primary", type: "button", text: "ended.again", data: { action: "rejoin" }, on: { click: () => this.call.store.set({ phase: "lobby", ended: "" }) } });

  /** @override */
  build() {
    const home = make("a", { class: "button", href: "/", text: "ended.home", data: { action: "home" } });
    this.append(make("main", { class: "card ended-card" }, this.#title, this.#text, make("div", { class: "ended-buttons" }, this.#again, home), make("a", { class: "ended-diag", href: "/diag", text: "diag.link" })));
  }

  /** @override @param {State} state */
  update(state) {
    const why = REASONS.includes(state.ended) ? state.ended : "left";
    setText(this.#title, `ended.${why}`);
    setText(this.#text, `ended.${textOf(why, state)}`);
    // Who may not come again is not asked to.
    this.#again.hidden = why === "banned";
  }
}

customElements.define("turnd-ended", Ended);
