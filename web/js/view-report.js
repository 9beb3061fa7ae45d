/**
 * Tells the server which pictures are seen and how large, so that it sends of each the smallest that fills it, and nothing of
 * what nobody looks at. The rules are pure; `ViewReport` owns its timer and what was said last.
 */

/**
 * A picture on the screen, in CSS pixels.
 * @typedef {{participant: string, source: "camera" | "screen", width: number, height: number, pinned: boolean}} SeenTile
 * @typedef {import("./protocol.js").ViewTile} ViewTile
 */

/** The server takes no more; what stands large comes first. */
export const MAX_VIEW_TILES = 64;
const MAX_SIDE = 16384;
/** A telephone has three pixels where the eye sees one: it must not ask for 1080p thumbnails. */
const MAX_PIXEL_RATIO = 1.5;
/** With more pictures than these the sharpness that only a lens shows would cost each person twice the bits. */
const SHARP_PICTURES = 2;
/** Sizes are told in steps, and a change of less than a tenth is none: a window being drawn larger is no reason to talk. */
const STEP = 16;
const MATTERS = 0.1;
const INTERVAL_MS = 250;

/** @param {number} side in CSS pixels @param {number} ratio */
function devicePixels(side, ratio) {
  return Math.min(MAX_SIDE, Math.max(1, Math.ceil((side * ratio) / STEP)) * STEP);
}

/** What the server is told of these. @param {SeenTile[]} seen @param {number} pixelRatio of the screen @returns {ViewTile[]} */
export function viewTiles(seen, pixelRatio) {
  const largeFirst = [...seen.filter(({ pinned }) => pinned), ...seen.filter(({ pinned }) => !pinned)];
  const usual = Math.min(pixelRatio, seen.length > SHARP_PICTURES ? 1 : MAX_PIXEL_RATIO);
  return largeFirst.slice(0, MAX_VIEW_TILES).map(({ participant, source, width, height, pinned }) => {
    const ratio = pinned ? Math.min(pixelRatio, MAX_PIXEL_RATIO) : usual;
    const tile = { participant, source, width: devicePixels(width, ratio), height: devicePixels(height, ratio) };
    return pinned ? { ...tile, pinned } : tile;
  });
}

/** @param {number} before @param {number} after */
function differs(before, after) {
  return Math.abs(after - before) > before * MATTERS;
}

/** What is seen twice, as beside a small window of its own, counts where it is larger. @param {SeenTile[]} seen @returns {SeenTile[]} */
export function largestOfEach(seen) {
  /** @type {Map<string, SeenTile>} */
  const largest = new Map();
  for (const tile of seen) {
    const key = `${tile.participant}/${tile.source}`;
    const other = largest.get(key);
    if (!other || other.width < tile.width) largest.set(key, tile);
  }
  return [...largest.values()];
}

/** Whether the server should hear of the change. @param {ViewTile[]} before @param {ViewTile[]} after */
export function viewChanged(before, after) {
  if (before.length !== after.length) return true;
  const known = new Map(before.map((tile) => [`${tile.participant}/${tile.source}`, tile]));
  return after.some((tile) => {
    const old = known.get(`${tile.participant}/${tile.source}`);
    return !old || old.pinned !== tile.pinned || differs(old.width, tile.width) || differs(old.height, tile.height);
  });
}

export class ViewReport {
  /** @type {ViewTile[] | null} */
  #now = null;
  /** @type {ViewTile[] | null} */
  #told = null;
  #toldAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {(tiles: ViewTile[]) => boolean} send says whether it was sent
   * @param {() => number} [now] in milliseconds
   */
  constructor(send, now = () => performance.now()) {
    this.send = send;
    this.now = now;
  }

  /** This is what is seen now. @param {ViewTile[]} tiles */
  update(tiles) {
    this.#now = tiles;
    this.#tell();
  }

  /** The server knows nothing of what it was told: we have just joined, for the first time or again. */
  resend() {
    this.#told = null;
    this.#tell();
  }

  /** Nothing is seen any more, and nobody is told: the call is over. */
  close() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#now = this.#told = null;
  }

  #tell() {
    if (this.#timer !== undefined || !this.#now) return;
    if (this.#told && !viewChanged(this.#told, this.#now)) return;
    const wait = this.#toldAt + INTERVAL_MS - this.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#tell();
      }, wait);
    } else if (this.send(this.#now)) {
      this.#told = this.#now;
      this.#toldAt = this.now();
    }
  }
}
