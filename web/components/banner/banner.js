/** The lines between header and stage: they push the call a little, they never cover it. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { t } from "../../js/language.js";
import { Sound } from "../sound/sound.js";

/** @typedef {import("../../js/state.js").State} State */

/** @type {import("../../js/local-media.js").ScreenHint[]} */
const HINTS = ["text", "motion"];

class Banner extends View {
  #reconnecting = make("div", { class: "banner is-warning", data: { banner: "reconnecting" } });
  #reconnectingWords = make("span");
  #diag = make("a", { class: "banner-link", href: "/diag", target: "_blank", text: "diag.link", hidden: true });
  #sound = make("button", { class: "banner is-call", type: "button", data: { action: "hear" } });
  #sharing = make("div", { class: "banner", role: "status", data: { banner: "sharing" } });
  #problem = document.createElement("turnd-problem");
  #muted = make("div", { class: "banner", role: "status", data: { banner: "muted" } });
  #notice = make("div", { class: "banner", role: "status", data: { banner: "notice" } });

  #hints = make("span", { class: "choice", role: "group", label: "share.shows" });
  #hint = new Map(HINTS.map((hint) => [hint, make("button", { class: "choice-item", type: "button", text: `share.${hint}`, data: { hint }, on: { click: () => this.call.hintScreen(hint) } })]));

  /** @override */
  build() {
    this.#reconnecting.append(make("span", { class: "spinner", "aria-hidden": "true" }), this.#reconnectingWords, this.#diag);
    this.#sound.append(icon("sound"), make("span", { text: "sound.blocked" }));
    this.#sound.addEventListener("click", () => {
      const sound = this.closest("turnd-call")?.querySelector("turnd-sound");
      if (sound instanceof Sound) sound.play();
    });
    const stop = make("button", { class: "button small", type: "button", text: "share.stop", data: { action: "stop-share" }, on: { click: () => this.call.capture.toggleScreen() } });
    this.#hints.append(...this.#hint.values());
    this.#sharing.append(icon("screen"), make("span", { class: "banner-words", text: "share.you" }), this.#hints, stop);
    this.#problem.className = "banner is-warning";
    const unmute = make("button", { class: "button small", type: "button", text: "muted.unmute", data: { action: "unmute" }, on: { click: () => this.call.capture.toggleMicrophone() } });
    const dismiss = make("button", { class: "round quiet", type: "button", label: "dismiss", data: { action: "dismiss" }, on: { click: () => this.call.mutedSpeech.dismiss() } });
    dismiss.append(icon("close"));
    this.#muted.append(icon("microphone-off"), make("span", { text: "muted.speaking" }), unmute, dismiss);
    this.append(this.#reconnecting, this.#sound, this.#problem, this.#muted, this.#sharing, this.#notice);
  }

  /** @override @param {State} state */
  update(state) {
    this.#reconnecting.hidden = !state.reconnecting;
    this.#diag.hidden = !state.stuck;
    setText(this.#reconnectingWords, state.stuck ? "reconnecting.stuck" : state.online ? "reconnecting.media" : "reconnecting");
    this.#sound.hidden = !state.soundBlocked;
    this.#sharing.hidden = state.screen !== "on" || state.film !== null;
    for (const [hint, button] of this.#hint) button.setAttribute("aria-pressed", String(hint === state.screenHint));
    this.#muted.hidden = !state.speakingMuted;
    this.#notice.hidden = state.notice === null;
    if (state.notice) this.#notice.textContent = t(state.notice.key, state.notice.values);
  }
}

customElements.define("turnd-banner", Banner);
