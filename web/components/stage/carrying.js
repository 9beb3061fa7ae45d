/** Moves the floating self view from corner to corner, by pointer and by arrow keys. */

import { cornerBeside, nearestCorner } from "../../js/layout.js";
import { moveSelf } from "../../js/stage-choices.js";
import { Tile } from "../tile/tile.js";

/** @typedef {import("../../js/layout.js").Box} Box */
/** @typedef {import("../../js/layout.js").Size} Size */
/** @typedef {import("./placing.js").Placing} Placing */
/** @typedef {import("../../js/state.js").Store} Store */

/** A press that trembles is no move. */
const SLACK_PX = 6;

/** @returns {boolean} */
export function runsFromRight() {
  return document.documentElement.dir === "rtl";
}

export class Carrying {
  /** @type {{tile: Tile, start: Box, x: number, y: number, moves: boolean} | null} */
  #held = null;

  /**
   * @param {HTMLElement} area of the tiles
   * @param {{placing: Placing, store: () => Store, space: () => Size, dropped: () => void}} stage
   */
  constructor(area, stage) {
    this.stage = stage;
    area.addEventListener("pointerdown", (event) => this.#take(event));
    area.addEventListener("pointermove", (event) => this.#carry(event));
    for (const type of ["pointerup", "pointercancel"]) area.addEventListener(type, () => this.#drop());
    area.addEventListener("keydown", (event) => this.#key(event));
  }

  /** @param {Event} event */
  #floating({ target }) {
    const tile = target instanceof Element ? target.closest(".is-floating") : null;
    return tile instanceof Tile ? tile : null;
  }

  /** @param {PointerEvent} event */
  #take(event) {
    const tile = this.#floating(event);
    const start = tile && this.stage.placing.box(tile.key);
    if (!tile || !start || event.button !== 0 || (/** @type {Element} */ (event.target).closest("button"))) return;
    this.#held = { tile, start, x: event.clientX, y: event.clientY, moves: false };
    tile.setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #carry({ clientX, clientY }) {
    const held = this.#held;
    if (!held) return;
    const { tile, start } = held;
    const space = this.stage.space();
    held.moves ||= Math.hypot(clientX - held.x, clientY - held.y) > SLACK_PX;
    if (!held.moves) return;
    const x = Math.min(space.width - start.width, Math.max(0, start.x + clientX - held.x));
    const y = Math.min(space.height - start.height, Math.max(0, start.y + clientY - held.y));
    this.stage.placing.hold(tile, tile.key, { ...start, x, y });
  }

  #drop() {
    const held = this.#held;
    this.#held = null;
    if (!held?.moves) return;
    const { placing, space, store, dropped } = this.stage;
    const box = placing.box(held.tile.key) ?? held.start;
    const x = runsFromRight() ? space().width - box.x - box.width : box.x;
    moveSelf(store(), nearestCorner(space(), { ...box, x }));
    dropped();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const way = /** @type {const} */ ({ ArrowUp: "up", ArrowDown: "down", ArrowLeft: runsFromRight() ? "end" : "start", ArrowRight: runsFromRight() ? "start" : "end" })[event.key];
    if (!way || !this.#floating(event)) return;
    event.preventDefault();
    const store = this.stage.store();
    moveSelf(store, cornerBeside(store.state.selfCorner, way));
  }
}
