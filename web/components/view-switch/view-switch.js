/** The button between the two views: everybody of one size, or who speaks large. Its word is what a press brings. */

import { View } from "../../js/view.js";
import { make, setLabel, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { showsGrid, switchView } from "../../js/stage-choices.js";

/** @typedef {import("../../js/state.js").State} State */

class ViewSwitch extends View {
  #symbol = icon("speaker-view");
  #word = make("span", { class: "header-word" });
  #button = make("button", { class: "button quiet header-view", type: "button", data: { action: "view" } }, this.#symbol, this.#word);

  /** @override */
  build() {
    this.append(this.#button);
    this.#button.addEventListener("click", () => switchView(this.call.store));
  }

  /** @override @param {State} state */
  update(state) {
    const grid = showsGrid(state);
    draw(this.#symbol, grid ? "speaker-view" : "grid");
    setText(this.#word, grid ? "view.speaker" : "view.grid");
    setLabel(this.#button, grid ? "view.to-speaker" : "view.to-grid");
    this.#button.dataset.view = grid ? "grid" : "speaker";
  }
}

customElements.define("turnd-view-switch", ViewSwitch);
