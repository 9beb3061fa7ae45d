/** Before the door of a room whose hosts let people in one by one: we have asked, and wait. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";

/** @typedef {import("../../js/state.js").State} State */

class Waiting extends View {
  #title = make("h2", { text: "waiting.title", tabindex: "-1" });
  #room = make("p", { class: "lobby-room" });
  #words = make("p", { class: "waiting-words", role: "status" });
  #broken = make("p", { class: "lobby-note", role: "status", text: "reconnecting" });

  /** @override */
  build() {
    const cancel = make("button", { class: "button large", type: "button", text: "cancel", data: { action: "cancel-join" }, on: { click: () => this.call.cancelJoin() } });
    const dots = make("span", { class: "waiting-dots", "aria-hidden": "true" }, make("span"), make("span"), make("span"));
    this.append(this.#title, this.#room, dots, this.#words, this.#broken, cancel);
  }

  /** @override @param {State} state */
  update(state) {
    const before = this.hidden;
    this.hidden = state.waiting === null;
    this.dataset.banner = "lobby";
    if (!state.waiting) return;
    this.#room.textContent = state.room;
    setText(this.#words, state.waiting.host ? "waiting.host" : "waiting.no-host");
    this.#broken.hidden = !state.reconnecting;
    if (before) this.#title.focus();
  }
}

customElements.define("turnd-waiting", Waiting);
