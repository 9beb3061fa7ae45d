/** The people: a grid, or a shared screen with a filmstrip beside it. Places the tiles; a tile lives as long as its person. */

import { View } from "../../js/view.js";
import { arrangeGrid } from "../../js/layout.js";
import { make, makeElement } from "../../js/dom.js";
import { Tile } from "../tile/tile.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../tile/tile.js").TileContent} TileContent */

const GAP = 10;
const MIN_WIDTH = 156;
const SCREEN_RATIO = 16 / 9;

class Stage extends View {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  #focus = make("div", { class: "stage-focus" });
  #grid = make("div", { class: "stage-grid" });
  #inner = make("div", { class: "stage-inner" });
  #observer = new ResizeObserver(() => this.#arrange());
  #known = new Set();

  /** @override */
  build() {
    this.#grid.append(this.#inner);
    this.append(this.#focus, this.#grid);
    this.addEventListener("ratio", () => this.#arrange());
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.#observer.observe(this.#focus);
    this.#observer.observe(this.#grid);
    document.addEventListener("visibilitychange", this.#resume);
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#observer.disconnect();
    document.removeEventListener("visibilitychange", this.#resume);
  }

  #resume = () => {
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
      tile.show(content);
    }
    const sharing = contents.some(({ source }) => source === "screen");
    this.toggleAttribute("data-sharing", sharing);
    this.#known = wanted;
    this.#arrange();
  }

  /** @param {State} state @returns {TileContent[]} */
  #contents(state) {
    const { call } = this;
    const { self, participants, speaker } = state;
    /** @type {TileContent[]} */
    const contents = participants.map((person) => ({
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
    contents.push({
      key: "self",
      participant: self,
      source: "camera",
      name: state.name,
      self: true,
      microphone: state.microphone === "on",
      picture: state.camera === "on",
      connected: true,
      speaking: speaker === self && self !== "" && state.microphone === "on",
      track: call.media.track("camera"),
    });
    for (const person of participants.filter(({ screen }) => screen)) {
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
    boxes.forEach((box, index) => {
      const { style } = tiles[index];
      style.width = `${Math.floor(box.width)}px`;
      style.height = `${Math.floor(box.height)}px`;
      style.transform = `translate(${Math.round(box.x)}px, ${Math.floor(box.y)}px)`;
    });
  }
}

customElements.define("turnd-stage", Stage);
