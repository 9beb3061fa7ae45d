/** The line above the stage while we play a film or a sound to everybody: which one, how far, pause, jump and stop. */

import { View } from "../../js/view.js";
import { make, setLabel, write } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { t } from "../../js/language.js";

/** @typedef {import("../../js/state.js").State} State */

/** @param {number} seconds @returns {string} as clocks of players show it */
export function clock(seconds) {
  const whole = Number.isFinite(seconds) ? Math.floor(seconds) : 0;
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

class Film extends View {
  #words = make("span", { class: "film-words" });
  #symbol = icon("pause");
  #play = make("button", { class: "round film-button", type: "button", data: { action: "film-pause" } }, this.#symbol);
  #position = make("input", { class: "film-position", type: "range", min: "0", step: "0.1", value: "0", data: { action: "film-position" } });
  #time = make("span", { class: "film-time" });
  #stop = make("button", { class: "button small", type: "button", text: "film.stop", data: { action: "film-stop" } });
  /** @type {HTMLVideoElement | null} */
  #element = null;

  /** @override */
  build() {
    const bar = make("div", { class: "banner film", role: "group", label: "film", data: { banner: "film" } }, this.#play, this.#words, this.#position, this.#time, this.#stop);
    this.append(bar);
    this.#play.addEventListener("click", () => this.#toggle());
    this.#stop.addEventListener("click", () => this.call.stopFile());
    this.#position.addEventListener("input", () => {
      if (this.#element) this.#element.currentTime = Number(this.#position.value);
    });
  }

  /** @override @param {State} state */
  update({ film }) {
    this.hidden = film === null;
    const element = film ? this.call.film.element : null;
    if (element !== this.#element) this.#follow(element);
    if (!film) return;
    write(this.#words, t("film.you", { name: film.name }));
    setLabel(this.#position, "film.position");
    this.#showPlaying();
  }

  /** @param {HTMLVideoElement | null} element */
  #follow(element) {
    this.#element = element;
    if (!element) return;
    const mine = (/** @type {() => void} */ show) => () => element === this.#element && show();
    for (const type of ["play", "pause"]) element.addEventListener(type, mine(() => this.#showPlaying()));
    for (const type of ["timeupdate", "seeked", "durationchange"]) element.addEventListener(type, mine(() => this.#showTime(element)));
    this.#showTime(element);
  }

  async #toggle() {
    if (this.#element?.paused) await this.#element.play().catch(() => {});
    else this.#element?.pause();
  }

  #showPlaying() {
    const paused = this.#element?.paused ?? false;
    draw(this.#symbol, paused ? "start" : "pause");
    setLabel(this.#play, paused ? "film.go-on" : "film.pause");
  }

  /** @param {HTMLVideoElement} element */
  #showTime({ currentTime, duration }) {
    const known = Number.isFinite(duration);
    this.#position.max = String(known ? duration : Math.max(1, currentTime));
    this.#position.value = String(currentTime);
    this.#position.setAttribute("aria-valuetext", clock(currentTime));
    const words = known ? `${clock(currentTime)} / ${clock(duration)}` : clock(currentTime);
    write(this.#time, words);
  }
}

customElements.define("turnd-film", Film);
