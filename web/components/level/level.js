/** How loud our microphone is: a bar that moves while it stands on the page, muted or not. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { LevelMeter } from "../../js/level-meter.js";

class Level extends View {
  #bar = make("span", { class: "level-bar" });
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {LevelMeter | null} */
  #meter = null;

  /** @override */
  build() {
    this.setAttribute("aria-hidden", "true");
    this.append(this.#bar);
  }

  /** @override */
  update() {
    this.#follow(this.call.media.track("microphone"));
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#follow(null);
  }

  /** @param {MediaStreamTrack | null} track */
  #follow(track) {
    if (track === this.#track) return;
    this.#meter?.stop();
    this.#meter?.track.stop();
    this.#meter = null;
    this.#track = track;
    this.#bar.style.transform = "scaleX(0)";
    // A copy also moves while the others hear nothing.
    const copy = track && this.call.media.copyOfMicrophone();
    if (!copy) return;
    this.#meter = new LevelMeter(copy, (level) => {
      this.#bar.style.transform = `scaleX(${Math.sqrt(level).toFixed(2)})`;
    });
  }
}

customElements.define("turnd-level", Level);
