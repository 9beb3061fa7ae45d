/** A viewer of a webinar is asked to the stage: the question comes before any device opens. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";

/** @typedef {import("../../js/state.js").State} State */

class Invitation extends View {
  /** @override */
  build() {
    this.setAttribute("role", "alertdialog");
    const words = make("p", { class: "invitation-words", text: "invitation", id: "invitation-words" });
    this.setAttribute("aria-labelledby", words.id);
    const answer = (/** @type {string} */ action, /** @type {string} */ text, /** @type {{microphone: boolean, camera: boolean}} */ devices, kind = "") =>
      make("button", { class: `button small ${kind}`, type: "button", text, data: { action }, on: { click: () => this.call.answerInvitation(devices) } });
    this.append(
      icon("microphone"),
      words,
      answer("accept-camera", "invitation.camera", { microphone: true, camera: true }, "primary"),
      answer("accept-microphone", "invitation.microphone", { microphone: true, camera: false }),
      answer("decline", "invitation.no", { microphone: false, camera: false }),
    );
  }

  /** @override @param {State} state */
  update(state) {
    this.hidden = !state.invited;
  }
}

customElements.define("turnd-invitation", Invitation);
