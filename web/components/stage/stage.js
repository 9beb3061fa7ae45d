/** The people: a grid, or a shared screen with a filmstrip beside it. Places the tiles; a tile lives as long as its person. */

import { View } from "../../js/view.js";
import { arrangeGrid, inSight } from "../../js/layout.js";
import { maySend, onStage } from "../../js/state.js";
import { viewTiles } from "../../js/view-report.js";
import { make, makeElement } from "../../js/dom.js";
import { Tile } from "../tile/tile.js";
import { Quality, barsFor } from "../quality/quality.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/layout.js").Box} Box */
/** @typedef {import("../../js/view-report.js").SeenTile} SeenTile */
/** @typedef {Omit<import("../tile/tile.js").TileContent, "bars"> & {key: string}} TileContent */

const GAP = 10;
const MIN_WIDTH = 156;
const SCREEN_RATIO = 16 / 9;
/** A picture this near to being scrolled to is asked for already. */
const NEAR = 120;
/** Browsers make it a quarter of the screen; who draws it larger loses little. */
const PICTURE_IN_PICTURE = { width: 480, height: 270 };

class Stage extends View {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #focus = make("div", { class: "stage-focus" });
  #grid = make("div", { class: "stage-grid" });
  #inner = make("div", { class: "stage-inner" });
  #observer = new ResizeObserver(() => this.#arrange());
  #known = new Set();
  /** @type {Map<string, Box>} */
  #boxes = new Map();
  #empty = make("p", { class: "stage-empty hint", text: "stage.empty" });

  /** @override */
  build() {
    this.#grid.append(this.#inner);
    this.append(this.#focus, this.#grid, this.#empty);
    this.addEventListener("ratio", () => this.#arrange());
    this.addEventListener("quality", (event) => this.#showQuality(/** @type {Tile} */ (event.target)));
    this.#grid.addEventListener("scroll", this.#look, { passive: true });
    for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) this.addEventListener(type, this.#look, true);
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.#observer.observe(this.#focus);
    this.#observer.observe(this.#grid);
    document.addEventListener("visibilitychange", this.#resume);
    document.addEventListener("fullscreenchange", this.#look);
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#observer.disconnect();
    document.removeEventListener("visibilitychange", this.#resume);
    document.removeEventListener("fullscreenchange", this.#look);
  }

  #resume = () => {
    this.#look();
    if (!document.hidden) for (const tile of this.#tiles.values()) tile.resume();
  };

  /** @override @param {State} state */
  update(state) {
    const contents = this.#contents(state);
    const wanted = new Set(contents.map(({ key }) => key));
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue;
      tile.remove();
      this.#tiles.delete(key);
    }
    for (const content of contents) {
      let tile = this.#tiles.get(content.key);
      if (!tile) {
        tile = makeElement("turnd-tile", Tile);
        this.#tiles.set(content.key, tile);
        (content.source === "screen" ? this.#focus : this.#inner).append(tile);
      }
      const { participant, source, self } = content;
      const mid = this.call.subscriber.slot(participant, source)?.mid;
      tile.show({ ...content, bars: barsFor(state, { participant, source, self }, mid) });
    }
    const sharing = contents.some(({ source }) => source === "screen");
    this.toggleAttribute("data-sharing", sharing);
    this.#empty.hidden = contents.length > 0;
    this.#known = wanted;
    this.#arrange();
  }

  /** @param {State} state @returns {TileContent[]} */
  #contents(state) {
    const { call } = this;
    const { speaker } = state;
    const people = onStage(state);
    /** @type {TileContent[]} */
    const contents = people.map((person) => ({
      key: person.id,
      participant: person.id,
      source: /** @type {const} */ ("camera"),
      name: person.name,
      self: false,
      microphone: person.microphone,
      picture: person.camera,
      connected: person.connected,
      speaking: speaker === person.id && person.microphone,
      track: call.subscriber.track(person.id, "camera"),
    }));
    if (maySend(state)) contents.push(this.#ownContent(state));
    for (const person of people.filter(({ screen }) => screen)) {
      contents.push({
        key: `${person.id}/screen`,
        participant: person.id,
        source: "screen",
        name: person.name,
        self: false,
        microphone: true,
        picture: true,
        connected: person.connected,
        speaking: false,
        track: call.subscriber.track(person.id, "screen"),
      });
    }
    return contents;
  }

  /** @param {State} state @returns {TileContent} */
  #ownContent(state) {
    const { self, speaker } = state;
    return {
      key: "self",
      participant: self,
      source: "camera",
      name: state.name,
      self: true,
      microphone: state.microphone === "on",
      picture: state.camera === "on",
      connected: true,
      speaking: speaker === self && self !== "" && state.microphone === "on",
      track: this.call.media.track("camera"),
    };
  }

  #arrange() {
    const screens = [...this.#known].filter((key) => key.endsWith("/screen"));
    const people = [...this.#known].filter((key) => !key.endsWith("/screen"));
    // Held upright, a shared screen takes the height it needs and no more.
    const ratio = this.#tiles.get(screens[0])?.ratio || SCREEN_RATIO;
    const enough = screens.length === 1 && this.clientHeight > this.clientWidth;
    this.#focus.style.maxHeight = enough ? `${Math.ceil(this.#focus.clientWidth / ratio)}px` : "";
    this.#place(screens, this.#focus, SCREEN_RATIO, 0);
    const { clientWidth, clientHeight } = this.#grid;
    const upright = clientHeight > clientWidth;
    const strip = this.hasAttribute("data-sharing");
    this.#place(people, this.#grid, upright && !strip ? 4 / 3 : 16 / 9, strip ? 132 : MIN_WIDTH);
    this.#look();
  }

  /** @param {Tile} tile */
  #showQuality(tile) {
    const quality = this.closest("turnd-call")?.querySelector("turnd-quality");
    const { participant = "", source } = tile.dataset;
    const button = /** @type {HTMLElement} */ (tile.querySelector(".tile-quality"));
    if (!(quality instanceof Quality) || (source !== "camera" && source !== "screen")) return;
    quality.show(button, { participant, source, self: tile.classList.contains("is-self") });
  }

  /** Says what of the others is seen now, and how large. */
  #look = () => {
    const seen = document.hidden ? [] : [...this.#known].map((key) => this.#seen(key));
    this.call.view.update(viewTiles([...seen, this.#pictured()].filter((tile) => tile !== null), devicePixelRatio));
  };

  /** @param {string} key @returns {SeenTile | null} */
  #seen(key) {
    const tile = this.#tiles.get(key);
    const box = this.#boxes.get(key);
    if (!tile || !box || !tile.shown || tile === this.#inWindow) return null;
    const whole = document.fullscreenElement;
    if (whole instanceof Tile) return whole === tile ? { ...tile.shown, width: innerWidth, height: innerHeight, pinned: true } : null;
    const pinned = tile.shown.source === "screen";
    const { scrollTop, clientHeight } = this.#grid;
    if (!pinned && !inSight(box, scrollTop - NEAR, clientHeight + 2 * NEAR)) return null;
    return { ...tile.shown, width: box.width, height: box.height, pinned };
  }

  /** The tile whose picture has a small window of its own, which stays when the page is hidden. */
  get #inWindow() {
    return document.pictureInPictureElement?.closest("turnd-tile") ?? null;
  }

  /** @returns {SeenTile | null} */
  #pictured() {
    const tile = this.#inWindow;
    if (!(tile instanceof Tile) || !tile.shown) return null;
    return { ...tile.shown, ...PICTURE_IN_PICTURE, pinned: true };
  }

  /** @param {string[]} keys @param {HTMLElement} container @param {number} usual ratio of a tile without picture @param {number} minWidth */
  #place(keys, container, usual, minWidth) {
    const tiles = keys.map((key) => /** @type {Tile} */ (this.#tiles.get(key)));
    const space = { width: container.clientWidth, height: container.clientHeight, gap: GAP, minWidth };
    const known = tiles.map(({ ratio }) => ratio).filter((ratio) => ratio > 1);
    // A tile without picture looks like those with one.
    const blank = known.length > 0 ? known.reduce((sum, ratio) => sum + ratio, 0) / known.length : usual;
    const { boxes, height } = arrangeGrid(tiles.map((tile) => tile.ratio || blank), space);
    if (container === this.#grid) {
      // Half a pixel must not bring a scroll bar, which would change the width, and so on.
      const scrolls = height > container.clientHeight + 1;
      container.classList.toggle("scrolls", scrolls);
      this.#inner.style.height = scrolls ? `${Math.ceil(height)}px` : "100%";
    }
    for (const key of keys) this.#boxes.delete(key);
    boxes.forEach((box, index) => {
      this.#boxes.set(keys[index], box);
      const { style } = tiles[index];
      style.width = `${Math.floor(box.width)}px`;
      style.height = `${Math.floor(box.height)}px`;
      style.transform = `translate(${Math.round(box.x)}px, ${Math.floor(box.y)}px)`;
    });
  }
}

customElements.define("turnd-stage", Stage);
