/**
 * What all elements of the call share: they are built once, drawn from the state again whenever it or the language changes,
 * and find the call through the `turnd-call` they stand in.
 */

import { languageChanges } from "./language.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./call.js").Call} Call */

export class View extends HTMLElement {
  /** @type {(() => void)[]} */
  #ends = [];
  #built = false;

  /** @returns {Call} */
  get call() {
    const host = /** @type {(HTMLElement & {call: Call}) | null} */ (this.closest("turnd-call"));
    if (!host) throw new Error(`${this.localName} stands outside turnd-call`);
    return host.call;
  }

  connectedCallback() {
    if (!this.#built) this.build();
    this.#built = true;
    const { store } = this.call;
    const draw = () => this.update(store.state);
    languageChanges.addEventListener("change", draw);
    this.#ends = [store.subscribe(draw), () => languageChanges.removeEventListener("change", draw)];
    draw();
  }

  disconnectedCallback() {
    for (const end of this.#ends) end();
    this.#ends = [];
  }

  /** Makes the children, once. */
  build() {}

  /** Shows this state. @param {State} _state */
  update(_state) {}
}
