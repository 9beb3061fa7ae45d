/** Asks for the room's password, only when the server wants one. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { passwordField } from "./password-field.js";

/** @typedef {import("../../js/state.js").State} State */

class Password extends View {
  #dialog = make("dialog", { class: "dialog", "aria-labelledby": "password-title", data: { dialog: "password" } });
  #words = make("p", { class: "hint" });
  #input = make("input", { class: "field", type: "password", autocomplete: "off", required: true, id: "password", data: { field: "room-password" } });

  #field = passwordField(this.#input);

  /** @override */
  build() {
    const cancel = make("button", { class: "button quiet", type: "button", text: "cancel", data: { action: "password-cancel" }, on: { click: () => this.#dialog.close() } });
    const join = make("button", { class: "button primary", type: "submit", text: "lobby.join", data: { action: "password-join" } });
    const form = make("form", { method: "dialog" }, this.#words, make("div", { class: "form-row" }, make("label", { class: "form-label", for: "password", text: "password.label" }), this.#field.element), make("div", { class: "dialog-buttons" }, cancel, join));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dialog.close();
      this.call.join({ name: this.call.store.state.name, password: this.#input.value });
    });
    this.#dialog.append(make("header", { class: "dialog-head" }, make("h2", { id: "password-title", text: "password.title" })), form);
    this.#dialog.addEventListener("close", () => {
      if (this.call.store.state.refused === "password") this.call.store.set({ refused: "" });
    });
    this.append(this.#dialog);
  }

  /** @override @param {State} state */
  update(state) {
    const wanted = state.refused === "password";
    setText(this.#words, state.passwordTried ? "password.wrong" : "password.text");
    this.#words.classList.toggle("is-error", state.passwordTried);
    if (wanted && !this.#dialog.open) {
      this.#field.reveal(false);
      this.#dialog.showModal();
      this.#input.select();
    } else if (!wanted && this.#dialog.open) this.#dialog.close();
  }
}

customElements.define("turnd-password", Password);
