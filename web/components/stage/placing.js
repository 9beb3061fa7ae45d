/** Puts tiles where the layout wants them, and lets them glide there. It only writes: what stands where it remembers itself. */

/** @typedef {import("../../js/layout.js").Box} Box */
/** @typedef {import("../tile/tile.js").Tile} Tile */

const GLIDE = { duration: 220, easing: "cubic-bezier(0.2, 0, 0, 1)" };
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @param {Box} a @param {Box | undefined} b */
function same(a, b) {
  return b !== undefined && a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}

/** Whole pixels, none of them outside. @param {Box} box @returns {Box} */
function snapped({ x, y, width, height }) {
  return { x: Math.round(x), y: Math.floor(y), width: Math.floor(width), height: Math.floor(height) };
}

export class Placing {
  /** @type {Map<string, Box>} */
  #boxes = new Map();
  /** @type {Map<string, Animation>} */
  #glides = new Map();

  /** @param {string} key @returns {Box | undefined} where this tile is, if it is seen */
  box(key) {
    return this.#boxes.get(key);
  }

  /**
   * @param {Map<string, Tile>} tiles
   * @param {Map<string, Box>} boxes those not in it are not seen
   * @param {boolean} glide not while the window is drawn larger, say
   */
  place(tiles, boxes, glide) {
    for (const [key, tile] of tiles) {
      const wanted = boxes.get(key);
      if (!wanted) {
        tile.hidden = true;
        this.#boxes.delete(key);
        continue;
      }
      const box = snapped(wanted);
      const before = this.#boxes.get(key);
      if (same(box, before)) continue;
      this.#boxes.set(key, box);
      this.#put(tile, key, box);
      if (still.matches) continue;
      if (!before) tile.animate({ opacity: [0, 1] }, GLIDE);
      else if (glide) this.#glide(tile, key, before, box);
    }
    for (const key of this.#boxes.keys()) if (!tiles.has(key)) this.#boxes.delete(key);
  }

  /** Shows a tile where a hand holds it. @param {Tile} tile @param {string} key @param {Box} box */
  hold(tile, key, box) {
    this.#glides.get(key)?.cancel();
    this.#boxes.set(key, box);
    tile.style.transform = `translate(${box.x}px, ${box.y}px)`;
  }

  /** @param {Tile} tile @param {string} key @param {Box} box */
  #put(tile, key, { x, y, width, height }) {
    tile.hidden = false;
    tile.style.width = `${width}px`;
    tile.style.height = `${height}px`;
    tile.style.transform = `translate(${x}px, ${y}px)`;
    this.#glides.get(key)?.cancel();
    this.#glides.delete(key);
  }

  /** @param {Tile} tile @param {string} key @param {Box} from @param {Box} to */
  #glide(tile, key, from, to) {
    const scale = `scale(${from.width / to.width}, ${from.height / to.height})`;
    const transform = [`translate(${from.x}px, ${from.y}px) ${scale}`, tile.style.transform];
    this.#glides.set(key, tile.animate({ transform }, GLIDE));
  }
}
