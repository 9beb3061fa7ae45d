/** A camera, microphone or screen that did not start: why, what to do, and another try. In the lobby and above the call. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { captureHelp, captureSteps } from "./capture-help.js";

/** @typedef {import("../../js/state.js").State} State */

class Problem extends View {
  #words = make("p", { class: "problem-words" });
  #steps = make("ol", { class: "problem-steps" });
  #again = make("button", { class: "button small", type: "button", text: "problem.again", data: { action: "try-again" }, on: { click: () => this.call.capture.retry() } });

  /** @override */
  build() {
    this.setAttribute("role", "alert");
    this.dataset.banner = "problem";
    const dismiss = make("button", { class: "round quiet", type: "button", label: "dismiss", data: { action: "dismiss" }, on: { click: () => this.call.store.set({ problem: null }) } });
    dismiss.append(icon("close"));
    this.append(icon("warning"), make("div", { class: "problem-body" }, make("div", { class: "problem-text" }, this.#words, this.#steps), this.#again), dismiss);
  }

  /** @override @param {State} state */
  update({ problem }) {
    this.hidden = problem === null;
    if (!problem) return;
    this.#words.textContent = captureHelp(problem);
    const steps = captureSteps(problem);
    this.#steps.hidden = steps.length === 0;
    this.#steps.replaceChildren(...steps.map((step) => make("li", {}, step)));
    this.#again.hidden = problem.reason === "insecure" || problem.reason === "unplugged";
  }
}

customElements.define("turnd-problem", Problem);
