/**
 * Who sits where: seats that people keep, pages of them, who stands large, and when somebody who speaks is brought into sight.
 * Pure: time is a parameter, in milliseconds.
 */

/** @typedef {"grid" | "speaker"} ViewMode */
/** @typedef {"" | "grid" | "floating" | "hidden"} SelfView empty: as suits the view */

/** A tile of our own camera; those of others are named by their participant, shared screens `participant/screen`. */
export const SELF = "self";
/** Who says "yes" does not become large for it. */
export const LARGE_AFTER_MS = 1000;
/** Pictures that change places disturb more than one that grows. */
export const BRING_AFTER_MS = 2500;

/** Seats in the order of arrival. A seat that becomes free is taken by who sits last: so the fewest move. */
export class Seating {
  /** @type {string[]} */
  #seats = [];

  /** These are here now. @param {string[]} keys */
  seat(keys) {
    const here = new Set(keys);
    for (let index = 0; index < this.#seats.length; ) {
      if (here.has(this.#seats[index])) {
        index += 1;
        continue;
      }
      const last = /** @type {string} */ (this.#seats.pop());
      if (index < this.#seats.length) this.#seats[index] = last;
    }
    for (const key of keys) if (!this.#seats.includes(key)) this.#seats.push(key);
  }

  /** All of these, by seats. @param {string[]} keys */
  order(keys) {
    const wanted = new Set(keys);
    return this.#seats.filter((key) => wanted.has(key));
  }

  /** @param {string} one @param {string} other */
  swap(one, other) {
    const [a, b] = [this.#seats.indexOf(one), this.#seats.indexOf(other)];
    if (a < 0 || b < 0) return;
    this.#seats[a] = other;
    this.#seats[b] = one;
  }
}

/** Who speaks since when, and who has been silent longest. */
export class Talk {
  speaker = "";
  #since = 0;
  /** @type {Map<string, number>} */
  #spokeAt = new Map();

  /** @param {string} speaker empty: nobody @param {number} now @returns {boolean} whether that is news */
  hear(speaker, now) {
    if (speaker === this.speaker) return false;
    if (this.speaker) this.#spokeAt.set(this.speaker, now);
    this.speaker = speaker;
    this.#since = now;
    return true;
  }

  /** Who has had the floor that long; empty: nobody. @param {number} ms @param {number} now */
  steady(ms, now) {
    return this.speaker && now - this.#since >= ms ? this.speaker : "";
  }

  /** The one of these who has been silent longest; of several the last. @param {string[]} keys */
  mostSilent(keys) {
    const spokeAt = (/** @type {string} */ key) => (key === this.speaker ? Infinity : (this.#spokeAt.get(key) ?? -Infinity));
    return keys.reduce((best, key) => (best === "" || spokeAt(key) <= spokeAt(best) ? key : best), "");
  }

  /** @param {Set<string>} here */
  forgetOthers(here) {
    for (const key of this.#spokeAt.keys()) if (!here.has(key)) this.#spokeAt.delete(key);
  }
}

/** @param {string[]} keys @param {number} page from 0 @param {number} perPage */
export function pageOf(keys, page, perPage) {
  return keys.slice(page * perPage, (page + 1) * perPage);
}

/**
 * Who has to give their seat on this page to the speaker; empty: nobody.
 * @param {{keys: string[], page: number, perPage: number, speaker: string, talk: Talk}} situation
 */
export function whoGivesWay({ keys, page, perPage, speaker, talk }) {
  const shown = pageOf(keys, page, perPage);
  if (!keys.includes(speaker) || shown.includes(speaker) || speaker === SELF) return "";
  return talk.mostSilent(shown.filter((key) => key !== SELF && !key.endsWith("/screen")));
}

/**
 * @typedef {object} Cast
 * @property {string[]} people keys by seats, ours among them
 * @property {string[]} screens keys
 * @property {ViewMode} mode
 * @property {boolean} screensAside shared screens are to be tiles among the others
 * @property {string} pinned key
 * @property {string} spotlight key of who spoke last
 * @property {SelfView} selfView
 */

/** @typedef {{large: string[], rest: string[], floating: boolean}} Scene */

/** What is shown large, what small, and whether we float. @param {Cast} cast @returns {Scene} */
export function setScene(cast) {
  const { people, screens, mode, screensAside, selfView } = cast;
  const others = people.filter((key) => key !== SELF);
  const pinned = [...people, ...screens].includes(cast.pinned) ? cast.pinned : "";
  /** @type {string[]} */
  let large = [];
  if (pinned) large = [pinned];
  else if (screens.length > 0 && !screensAside) large = screens;
  else if (mode === "speaker" && others.length > 0) large = [others.includes(cast.spotlight) ? cast.spotlight : others[0]];
  const rest = [...screens, ...people].filter((key) => !large.includes(key));
  if (!rest.includes(SELF)) return { large, rest, floating: false };
  const place = selfView || selfPlace(large, others, screens);
  const alone = others.length + screens.length === 0;
  if (place === "grid" || (place === "floating" && alone)) return { large, rest, floating: false };
  return { large, rest: rest.filter((key) => key !== SELF), floating: place === "floating" };
}

/** Where we are if we have not said: two people see each other, not themselves. @param {string[]} large @param {string[]} others @param {string[]} screens @returns {SelfView} */
function selfPlace(large, others, screens) {
  return screens.length === 0 && (others.length === 1 || large.length > 0) ? "floating" : "grid";
}

/** The number of each raised hand among those raised. @param {{id: string, hand?: number}[]} people @returns {Map<string, number>} */
export function handOrder(people) {
  const raised = people.filter(({ hand }) => hand).sort((a, b) => (a.hand ?? 0) - (b.hand ?? 0));
  return new Map(raised.map(({ id }, index) => [id, index + 1]));
}
