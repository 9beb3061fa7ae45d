/** What has just happened, in the header's own room: nothing moves for it, and no picture is covered. Of several the first is shown. */

import { View } from "../../js/view.js";
import { make, setText, write } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";

/** @typedef {import("../../js/state.js").State} State */

class NoticeLine extends View {
  #reconnecting = make("div", { class: "banner is-warning", data: { banner: "reconnecting" } });
  #reconnectingWords = make("span", { class: "notice-words" });
  #words = make("span", { class: "notice-words" });
  #notice = make("div", { class: "banner", role: "status", data: { banner: "notice" }, on: { click: () => this.call.store.set({ notice: null }) } }, this.#words);
  #muted = make("div", { class: "banner", role: "status", data: { banner: "muted" } });

  /** @override */
  build() {
    this.#reconnecting.append(make("span", { class: "spinner", "aria-hidden": "true" }), this.#reconnectingWords);
    const unmute = make("button", { class: "button small", type: "button", text: "muted.unmute", data: { action: "unmute" }, on: { click: () => this.call.capture.toggleMicrophone() } });
    const dismiss = make("button", { class: "round quiet", type: "button", label: "dismiss", data: { action: "dismiss" }, on: { click: () => this.call.mutedSpeech.dismiss() } });
    dismiss.append(icon("close"));
    this.#muted.append(icon("microphone-off"), make("span", { class: "notice-words", text: "muted.speaking" }), unmute, dismiss);
    this.append(this.#reconnecting, this.#notice, this.#muted);
  }

  /** @override @param {State} state */
  update(state) {
    this.#reconnecting.hidden = !state.reconnecting || state.stuck;
    setText(this.#reconnectingWords, state.online ? "reconnecting.media" : "reconnecting");
    this.#notice.hidden = state.notice === null;
    if (state.notice) write(this.#words, t(state.notice.key, state.notice.values));
    this.#muted.hidden = !state.speakingMuted;
  }
}

customElements.define("turnd-notice", NoticeLine);
