/** Reactions: over the tile of who reacts, or with their name in a corner of the stage when they are not seen. */

import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { REACTIONS } from "../../js/reactions.js";

/** @typedef {import("../../js/protocol.js").ReactionKind} ReactionKind */
/** @typedef {import("../tile/tile.js").Tile} Tile */

const SHOWN_MS = 4000;
const MAX_SHOWN = 3;

export class CalledOut {
  element = make("div", { class: "stage-called", "aria-hidden": "true" });

  /** @param {{name: string, reaction: ReactionKind}} reaction @param {Tile | undefined} tile of the person, if it is seen */
  show({ name, reaction }, tile) {
    // A server may be newer than this page.
    if (!REACTIONS.includes(reaction)) return;
    if (tile) {
      tile.react(reaction);
      return;
    }
    const who = make("span", { class: "called-name", dir: "auto" });
    who.textContent = name;
    const line = make("p", { class: "called" }, make("span", { class: "called-glyph" }, icon(reaction)), who);
    this.element.append(line);
    while (this.element.childElementCount > MAX_SHOWN) this.element.firstElementChild?.remove();
    setTimeout(() => line.remove(), SHOWN_MS);
  }
}
