/**
 * Notices that we speak although our microphone is muted. It listens to a copy of the track, on this computer only, and only while
 * muted in a call; a person who does not want to be told is left alone for a while.
 */

import { mayUse } from "./state.js";
import { LevelMeter } from "./level-meter.js";

/** @typedef {import("./state.js").Store} Store */

const INTERVAL_MS = 150;
const LOUD = 0.1;
/** So many of the last ones must be loud: a cough or a door is not speech. */
const LAST = 10;
const ENOUGH = 4;
const SHOW_MS = 8000;
const LEAVE_ALONE_MS = 60_000;

export class SpeakingWhileMuted {
  /** @type {LevelMeter | null} */
  #meter = null;
  /** @type {MediaStreamTrack | null} the track whose copy is listened to */
  #source = null;
  /** @type {boolean[]} */
  #loud = [];
  #quietUntil = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Store} store @param {import("./local-media.js").LocalMedia} media */
  constructor(store, media) {
    this.store = store;
    this.media = media;
    store.subscribe(() => this.#follow());
  }

  /** Not again soon. */
  dismiss() {
    this.#quietUntil = performance.now() + LEAVE_ALONE_MS;
    this.#show(false);
  }

  #follow() {
    const { state } = this.store;
    const wanted = state.phase === "call" && state.microphone === "off" && state.choices.mutedHint && !state.choices.pushToTalk && mayUse(state, "unmute");
    const track = wanted ? this.media.track("microphone") : null;
    if (track === this.#source) return;
    this.#stop();
    this.#source = track;
    const copy = track && this.media.copyOfMicrophone();
    if (!copy) return;
    this.#meter = new LevelMeter(copy, (level) => this.#hear(level), INTERVAL_MS);
  }

  /** @param {number} level */
  #hear(level) {
    this.#loud = [...this.#loud.slice(1 - LAST), level > LOUD];
    if (performance.now() < this.#quietUntil || this.#loud.filter(Boolean).length < ENOUGH) return;
    this.#show(true);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#show(false), SHOW_MS);
  }

  #stop() {
    this.#meter?.stop();
    this.#meter?.track.stop();
    this.#meter = null;
    this.#loud = [];
    this.#show(false);
  }

  /** @param {boolean} shown */
  #show(shown) {
    clearTimeout(this.#timer);
    if (this.store.state.speakingMuted !== shown) this.store.set({ speakingMuted: shown });
  }
}
