/** For hosts: the line above the call that says who waits to come in. It pushes the call a little, it covers nothing. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { firstNames } from "../../js/people-order.js";
import { answerButtons } from "../people/waiting-list.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/protocol.js").WaitingPerson} WaitingPerson */

const MAX_NAMED = 2;

/** @param {string[]} names */
function sentence(names) {
  const { named, more } = firstNames(names, MAX_NAMED);
  const parts = more > 0 ? [...named, t("waiting.others", { count: more })] : named;
  const list = new Intl.ListFormat(currentLanguage(), { type: "conjunction" }).format(parts);
  return t("waiting.names", { count: names.length, names: list });
}

class Admission extends View {
  #words = make("p", { class: "admission-words", role: "status" });
  #answers = make("span", { class: "admission-answers" });
  #shown = "";

  /** @override */
  build() {
    this.dataset.banner = "admission";
    this.append(icon("door"), this.#words, this.#answers);
  }

  /** @override @param {State} state */
  update({ moderation, panel }) {
    const waiting = moderation?.waiting ?? [];
    // The list in the panel says the same, and more.
    this.hidden = waiting.length === 0 || panel === "people";
    if (waiting.length === 0) this.#words.textContent = "";
    if (this.hidden) return;
    const words = sentence(waiting.map(({ name }) => name));
    if (this.#words.textContent !== words) this.#words.textContent = words;
    const key = waiting.length === 1 ? waiting[0].id : `${waiting.length} of all`;
    if (key !== this.#shown || this.#answers.childElementCount === 0) this.#offer(waiting);
    this.#shown = key;
  }

  /** @param {WaitingPerson[]} waiting */
  #offer(waiting) {
    const { room } = this.call;
    if (waiting.length === 1) {
      this.#answers.replaceChildren(...answerButtons((on) => room.admit(on, waiting[0].id), waiting[0].name));
      return;
    }
    const see = make("button", { class: "button small", type: "button", text: "waiting.see", data: { action: "see-waiting" }, on: { click: () => this.call.showPanel("people") } });
    const all = make("button", { class: "button small primary", type: "button", text: "waiting.admit-all", data: { action: "admit-all" }, on: { click: () => room.admit(true) } });
    this.#answers.replaceChildren(all, see);
  }
}

customElements.define("turnd-admission", Admission);
