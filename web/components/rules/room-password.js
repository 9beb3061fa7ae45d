/** The room's password: whether there is one, another one, none. What it is only who typed it knows: the server keeps no text. */

import { make, setText } from "../../js/dom.js";
import { passwordField } from "../password/password-field.js";

const MAX_LENGTH = 128;

export class RoomPassword {
  #change;
  #set = false;
  /** What was sent and has not been answered. @type {string | null} */
  #asked = null;
  #state = make("p", { class: "hint", role: "status" });
  #input = make("input", { class: "field", type: "password", id: "new-password", autocomplete: "new-password", maxlength: String(MAX_LENGTH), "aria-describedby": "password-state", data: { field: "new-password" } });
  #field = passwordField(this.#input);
  #save = make("button", { class: "button", type: "submit", data: { action: "set-password" } });
  #remove = make("button", { class: "button quiet", type: "button", text: "rules.password.remove", data: { action: "remove-password" } });

  /** @param {(password: string) => void} change empty: none */
  constructor(change) {
    this.#change = change;
    this.#state.id = "password-state";
    this.#input.addEventListener("input", () => this.#draw());
    this.#remove.addEventListener("click", () => this.#ask(""));
    this.element = make("form", { class: "password-form" }, make("label", { class: "switch-name", for: "new-password", text: "rules.password" }), this.#state, make("div", { class: "password-row" }, this.#field.element, this.#save, this.#remove));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#input.value) this.#ask(this.#input.value);
    });
  }

  /** What was typed is not left standing. */
  reset() {
    this.#input.value = "";
    this.#asked = null;
    this.#field.reveal(false);
    this.#draw();
  }

  /** The server has said what holds. @param {boolean} set @param {boolean} news whether it has said so just now */
  update(set, news) {
    this.#set = set;
    if (news && this.#asked !== null) {
      if (this.#asked === "") this.#input.value = "";
      this.#asked = null;
      this.#draw(set);
    } else this.#draw();
  }

  /** @param {string} password */
  #ask(password) {
    this.#asked = password;
    this.#draw();
    this.#change(password);
  }

  /** @param {boolean} [saved] whether what stands in the field holds now */
  #draw(saved = false) {
    const asking = this.#asked !== null;
    if (saved) setText(this.#state, "rules.password.saved");
    else if (!this.#input.value || this.#state.dataset.text !== "rules.password.saved") setText(this.#state, this.#set ? "rules.password.set" : "rules.password.none");
    setText(this.#save, this.#set ? "rules.password.change" : "rules.password.add");
    this.#save.setAttribute("aria-busy", String(asking && this.#asked !== ""));
    this.#save.disabled = !this.#input.value || asking;
    this.#remove.hidden = !this.#set;
    this.#remove.disabled = asking;
  }
}
