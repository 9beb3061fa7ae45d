/** Quiet sounds for what one may miss: never in a crowd, never more than one in a while, and only if they are wanted. */

import { TONES, playTones } from "./tones.js";

/** @typedef {import("./happenings.js").Happening} Happening */
/** @typedef {import("./happenings.js").HappeningKind} HappeningKind */
/** @typedef {import("./state.js").Store} Store */

const INTERVAL_MS = 1500;
/** The one that matters most is heard. @type {HappeningKind[]} */
const ORDER = ["waiting", "hand", "joined", "left", "chat"];

export class Sounds {
  #playedAt = -Infinity;

  /** @param {Store} store @param {typeof playTones} [play] */
  constructor(store, play = playTones) {
    this.store = store;
    this.play = play;
  }

  /** @param {Happening[]} happenings */
  hear(happenings) {
    const { choices, broadcast, role, speakerDevice } = this.store.state;
    if (!choices.sounds || performance.now() - this.#playedAt < INTERVAL_MS) return;
    const kind = ORDER.find((each) => happenings.some((one) => one.kind === each && this.#wanted(each, broadcast, role)));
    if (!kind) return;
    this.#playedAt = performance.now();
    // A browser that wants a press first stays silent.
    this.play(TONES[kind], { speaker: speakerDevice }).catch(() => {});
  }

  /** @param {HappeningKind} kind @param {boolean} broadcast @param {import("./protocol.js").Role} role */
  #wanted(kind, broadcast, role) {
    if (kind === "chat") return document.hidden;
    return !broadcast || (kind === "waiting" && role === "host");
  }
}
