/** Says what happens to those who do not see it, through one polite live region: not chatty, at most one text a second. */

import { t } from "./language.js";

/** @typedef {import("./happenings.js").Happening} Happening */
/** @typedef {import("./happenings.js").HappeningKind} HappeningKind */

const INTERVAL_MS = 1000;
/** More of the same at once are counted, not named. */
const NAMED = 3;

export class Announcer {
  /** @type {Happening[]} */
  #waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} region */
  constructor(region) {
    this.region = region;
  }

  /** @param {Happening[]} happenings */
  hear(happenings) {
    // The chat is a live region of its own when it is open; what happens is that something is unread.
    this.#waiting.push(...happenings);
    if (this.#waiting.length > 0 && this.#timer === undefined) this.#timer = setTimeout(() => this.#say(), INTERVAL_MS);
  }

  #say() {
    this.#timer = undefined;
    const text = sentences(this.#waiting).join(" ");
    this.#waiting = [];
    // The same words twice in a row would not be read out.
    this.region.textContent = this.region.textContent === text ? `${text}\u200b` : text;
  }
}

/** @param {Happening[]} happenings @returns {string[]} */
export function sentences(happenings) {
  const kinds = [...new Set(happenings.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const names = happenings.filter((each) => each.kind === kind).map(({ name }) => name);
    if (names.length > NAMED) return [t(`said.${kind}.many`, { count: names.length })];
    return names.map((name) => t(`said.${kind}`, { name }));
  });
}
