/** A switch that follows the server: pressed, it asks, and turns when the answer has come. */

import { make } from "../../js/dom.js";

/** A press that is not answered by then was refused. */
const ANSWER_MS = 3000;

export class Switch {
  #on = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #input = make("input", { class: "switch", type: "checkbox", role: "switch" });

  /** @param {string} name its `data-rule` @param {{text: string, hint?: string}} words keys @param {(on: boolean) => void} ask */
  constructor(name, { text, hint }, ask) {
    const words = make("span", { class: "switch-words" }, make("span", { class: "switch-name", text, id: `rule-${name}` }));
    if (hint) words.append(make("span", { class: "hint switch-hint", text: hint, id: `rule-${name}-hint` }));
    this.#input.dataset.rule = name;
    this.#input.setAttribute("aria-labelledby", `rule-${name}`);
    if (hint) this.#input.setAttribute("aria-describedby", `rule-${name}-hint`);
    this.element = make("label", { class: "switch-row" }, words, this.#input);
    this.#input.addEventListener("change", () => {
      this.#input.checked = this.#on;
      this.#busy(true);
      ask(!this.#on);
    });
  }

  /** What holds. @param {boolean} on */
  update(on) {
    if (on !== this.#on) this.#busy(false);
    this.#on = this.#input.checked = on;
  }

  /** @param {boolean} busy */
  #busy(busy) {
    clearTimeout(this.#timer);
    this.#input.setAttribute("aria-busy", String(busy));
    if (busy) this.#timer = setTimeout(() => this.#busy(false), ANSWER_MS);
  }
}
