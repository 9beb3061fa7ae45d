/** The lines between header and stage, for what lasts: they push the call a little, they never cover it. What passes is a turnd-notice. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { Sound } from "../sound/sound.js";

/** @typedef {import("../../js/state.js").State} State */

/** @type {import("../../js/local-media.js").ScreenHint[]} */
const HINTS = ["text", "motion"];

class Banner extends View {
  #stuck = make("div", { class: "banner is-warning", data: { banner: "stuck" } });
  #sound = make("button", { class: "banner is-call", type: "button", data: { action: "hear" } });
  #sharing = make("div", { class: "banner", role: "status", data: { banner: "sharing" } });
  #problem = document.createElement("turnd-problem");

  #hints = make("span", { class: "choice", role: "group", label: "share.shows" });
  #hint = new Map(HINTS.map((hint) => [hint, make("button", { class: "choice-item", type: "button", text: `share.${hint}`, data: { hint }, on: { click: () => this.call.hintScreen(hint) } })]));

  /** @override */
  build() {
    const diag = make("a", { class: "banner-link", href: "/diag", target: "_blank", text: "diag.link" });
    this.#stuck.append(make("span", { class: "spinner", "aria-hidden": "true" }), make("span", { text: "reconnecting.stuck" }), diag);
    this.#sound.append(icon("sound"), make("span", { text: "sound.blocked" }));
    this.#sound.addEventListener("click", () => {
      const sound = this.closest("turnd-call")?.querySelector("turnd-sound");
      if (sound instanceof Sound) sound.play();
    });
    const stop = make("button", { class: "button small", type: "button", text: "share.stop", data: { action: "stop-share" }, on: { click: () => this.call.capture.toggleScreen() } });
    this.#hints.append(...this.#hint.values());
    this.#sharing.append(icon("screen"), make("span", { class: "banner-words", text: "share.you" }), this.#hints, stop);
    this.#problem.className = "banner is-warning";
    this.append(this.#stuck, this.#sound, this.#problem, this.#sharing);
  }

  /** @override @param {State} state */
  update(state) {
    this.#stuck.hidden = !state.reconnecting || !state.stuck;
    this.#sound.hidden = !state.soundBlocked;
    this.#sharing.hidden = state.screen !== "on" || state.film !== null;
    for (const [hint, button] of this.#hint) button.setAttribute("aria-pressed", String(hint === state.screenHint));
  }
}

customElements.define("turnd-banner", Banner);
