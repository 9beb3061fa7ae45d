/** Those who stand before the door, each with what a host may answer. */

import { make } from "../../js/dom.js";
import { t } from "../../js/language.js";
import { avatar } from "./person-row.js";

/** @typedef {import("../../js/protocol.js").WaitingPerson} WaitingPerson */

/** A press that has done nothing by then did not arrive: it may be tried again. */
const ANSWER_MS = 3000;

/** The two answers; pressed, they stay so until the server has taken the person off the list. @param {string} [name] absent: all @param {(on: boolean) => void} answer */
export function answerButtons(answer, name) {
  /** @param {boolean} on @param {string} text */
  const button = (on, text) => {
    const made = make("button", { class: on ? "button small primary" : "button small", type: "button", data: { action: on ? "admit" : "deny" } }, make("span", { text }));
    if (name !== undefined) made.append(make("span", { class: "off-screen" }, ` ${name}`));
    made.addEventListener("click", () => {
      const press = (/** @type {boolean} */ on) => {
        for (const each of both) each.disabled = on;
        made.setAttribute("aria-busy", String(on));
      };
      press(true);
      setTimeout(press, ANSWER_MS, false);
      answer(on);
    });
    return made;
  };
  const both = [button(true, "waiting.admit"), button(false, "waiting.deny")];
  return both;
}

export class WaitingList {
  /** @type {(on: boolean, id?: string) => void} */
  answer = () => {};
  #title = make("h3", { class: "people-part" });
  #all = make("button", { class: "button small", type: "button", text: "waiting.admit-all", data: { action: "admit-all" }, on: { click: () => this.answer(true) } });
  #list = make("ul", { class: "people-list" });
  element = make("section", { class: "people-waiting", data: { list: "waiting" } }, make("header", { class: "people-waiting-head" }, this.#title, this.#all), this.#list);
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /** @param {WaitingPerson[]} waiting */
  update(waiting) {
    this.element.hidden = waiting.length === 0;
    this.#title.textContent = t("waiting.count", { count: waiting.length });
    this.#all.hidden = waiting.length < 2;
    const ids = new Set(waiting.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      row.remove();
      this.#rows.delete(id);
    }
    // Who came first stands first, and newcomers come last: nobody changes places.
    for (const person of waiting) if (!this.#rows.has(person.id)) this.#add(person);
  }

  /** @param {WaitingPerson} person */
  #add({ id, name }) {
    const words = make("span", { class: "people-name" });
    words.textContent = name;
    const buttons = make("span", { class: "people-answers" }, ...answerButtons((on) => this.answer(on, id), name));
    const row = make("li", { class: "people-item people-waits", data: { waiting: id } }, avatar(name), words, buttons);
    this.#rows.set(id, row);
    this.#list.append(row);
  }
}
