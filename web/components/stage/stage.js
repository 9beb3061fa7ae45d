/**
 * The people: all of one size, or one large and the others in a strip, or shared screens with the people beside. Decides who is
 * seen where; the geometry is in layout.js, the seats in seating.js. A tile lives as long as its person is here.
 */

import { View } from "../../js/view.js";
import { USUAL_RATIO, arrangeGrid, floatBox, moved, planStage } from "../../js/layout.js";
import { BRING_AFTER_MS, LARGE_AFTER_MS, SELF, Seating, Talk, pageOf, setScene, whoGivesWay } from "../../js/seating.js";
import { chooseSelfView, SELF_VIEWS, togglePin } from "../../js/stage-choices.js";
import { largestOfEach, viewTiles } from "../../js/view-report.js";
import { make, makeElement, setText } from "../../js/dom.js";
import { opensMenu } from "../menu/menu.js";
import { Quality } from "../quality/quality.js";
import { Tile } from "../tile/tile.js";
import { CalledOut } from "./called-out.js";
import { Carrying, runsFromRight } from "./carrying.js";
import { isScreen, stageContents } from "./contents.js";
import { Pager } from "./pager.js";
import { Placing } from "./placing.js";
import { SmallWindow } from "./small-window.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/layout.js").Box} Box */
/** @typedef {import("../../js/seating.js").Scene} Scene */
/** @typedef {import("../../js/view-report.js").SeenTile} SeenTile */
/** @typedef {import("../tile/tile.js").TileContent} TileContent */
/** @typedef {{boxes: Map<string, Box>, scene: Scene, page: number, pages: number, pager: Box | null}} Picture */

class Stage extends View {
  /** @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {TileContent[]} */
  #contents = [];
  #area = make("div", { class: "stage-area" });
  #empty = make("p", { class: "stage-empty hint", text: "stage.empty" });
  #showSelf = make("button", { class: "button stage-show-self", type: "button", text: "self-view.show", hidden: true, data: { action: "show-self" } });
  #space = { width: 0, height: 0 };
  #observer = new ResizeObserver(([{ contentRect }]) => this.#resized(contentRect));
  #placing = new Placing();
  #pager = new Pager((page) => this.call.store.set({ page }));
  #called = new CalledOut();
  #small = new SmallWindow(() => this.call, () => this.#look());
  #seating = new Seating();
  #talk = new Talk();
  #spotlight = "";
  /** @type {ReturnType<typeof setTimeout>[]} */
  #talkTimers = [];
  /** @type {(() => void)[]} */
  #stops = [];

  /** @override */
  build() {
    this.append(this.#area);
    this.#area.append(this.#empty, this.#showSelf, this.#pager.element, this.#called.element);
    this.#pager.swipes(this.#area);
    this.#showSelf.addEventListener("click", () => chooseSelfView(this.call.store, "grid"));
    new Carrying(this.#area, { placing: this.#placing, store: () => this.call.store, space: () => this.#space, dropped: () => this.#arrange(true) });
    this.addEventListener("ratio", () => this.#arrange(true));
    this.addEventListener("quality", (event) => this.#showQuality(/** @type {Tile} */ (event.target)));
    this.addEventListener("pin", (event) => togglePin(this.call.store, /** @type {Tile} */ (event.target).key));
    for (const type of ["enterpictureinpicture", "leavepictureinpicture"]) this.addEventListener(type, this.#look, true);
    if (SmallWindow.possible) this.dataset.opens = "openpip";
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.#observer.observe(this.#area);
    const page = /** @type {HTMLElement} */ (this.closest("turnd-call"));
    this.#listen(document, "visibilitychange", this.#resume);
    this.#listen(document, "fullscreenchange", this.#look);
    this.#listen(document, "keydown", (event) => this.#pager.key(/** @type {KeyboardEvent} */ (event)));
    this.#listen(page, "openpip", () => this.#small.toggle(this.#tiles.get(this.#foremost()?.key ?? "")?.video));
    const { signalling } = this.call;
    this.#stops.push(signalling.on("reaction", (reaction) => this.#called.show(reaction, this.#seen(reaction.participant))));
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#observer.disconnect();
    for (const stop of this.#stops.splice(0)) stop();
    for (const timer of this.#talkTimers.splice(0)) clearTimeout(timer);
    this.#small.close();
  }

  /** @param {EventTarget} target @param {string} type @param {(event: Event) => void} handler */
  #listen(target, type, handler) {
    target.addEventListener(type, handler);
    this.#stops.push(() => target.removeEventListener(type, handler));
  }

  #resume = () => {
    this.#look();
    if (!document.hidden) for (const tile of this.#tiles.values()) tile.resume();
  };

  /** @override @param {State} state */
  update(state) {
    this.#contents = stageContents(state, this.call);
    const here = new Set(this.#contents.map(({ key }) => key));
    for (const [key, tile] of this.#tiles) {
      if (here.has(key)) continue;
      tile.remove();
      this.#tiles.delete(key);
    }
    for (const content of this.#contents) (this.#tiles.get(content.key) ?? this.#makeTile(content)).show(content);
    this.#seating.seat([...here]);
    this.#talk.forgetOthers(here);
    this.#hear(state);
    this.#arrange(true);
  }

  /** @param {TileContent} content */
  #makeTile({ key }) {
    const tile = makeElement("turnd-tile", Tile);
    tile.key = key;
    tile.hidden = true;
    this.#tiles.set(key, tile);
    this.#area.append(tile);
    if (key === SELF) opensMenu(tile.menu, () => this.#selfMenu(), "self-view");
    return tile;
  }

  /** @returns {import("../menu/menu.js").MenuItem[]} */
  #selfMenu() {
    const { store } = this.call;
    const { floating } = this.#scene(store.state);
    const now = floating ? "floating" : "grid";
    return SELF_VIEWS.map((each) => ({
      text: `self-view.${each}`,
      icon: each === now ? "check" : "blank",
      action: `self-view-${each}`,
      press: () => chooseSelfView(store, each),
    }));
  }

  /** @param {State} state */
  #hear({ speaker, self }) {
    const key = speaker === self && self !== "" ? SELF : (speaker ?? "");
    if (!this.#talk.hear(key, performance.now())) return;
    for (const timer of this.#talkTimers.splice(0)) clearTimeout(timer);
    if (key && key !== SELF) this.#talkTimers = [setTimeout(() => this.#enlarge(), LARGE_AFTER_MS), setTimeout(() => this.#bring(), BRING_AFTER_MS)];
  }

  /** Whoever has the floor stands large from now on, where the view has somebody large; the one before takes the seat. */
  #enlarge() {
    const speaker = this.#talk.steady(LARGE_AFTER_MS, performance.now());
    if (!this.#tiles.has(speaker) || speaker === this.#spotlight) return;
    const { large } = this.#scene(this.call.store.state);
    if (large.length === 1 && large[0] === this.#spotlight) this.#seating.swap(speaker, this.#spotlight);
    this.#spotlight = speaker;
    this.#arrange(true);
  }

  /** Whoever has the floor and sits on another page changes seats with somebody of this one. */
  #bring() {
    const speaker = this.#talk.steady(BRING_AFTER_MS, performance.now());
    const { rest } = this.#scene(this.call.store.state);
    const { page, perPage } = this.#perPage;
    const away = whoGivesWay({ keys: rest, page, perPage, speaker, talk: this.#talk });
    if (!away) return;
    this.#seating.swap(speaker, away);
    this.#arrange(true);
  }

  #perPage = { page: 0, perPage: 1 };

  /** @param {State} state @returns {Scene} */
  #scene(state) {
    const people = this.#seating.order(this.#contents.filter((content) => !isScreen(content)).map(({ key }) => key));
    const screens = this.#contents.filter(isScreen).map(({ key }) => key);
    return setScene({ people, screens, mode: state.view, spotlight: this.#spotlight || people.find((key) => key !== SELF) || "", screensAside: state.screensAside, pinned: state.pinned, selfView: state.selfView });
  }

  /** @param {DOMRectReadOnly} rectangle */
  #resized({ width, height }) {
    this.#space = { width, height };
    this.#arrange(false);
  }

  /** @param {boolean} glide */
  #arrange(glide) {
    const { state } = this.call.store;
    const picture = this.#compose(state);
    this.#placing.place(this.#tiles, picture.boxes, glide);
    this.#pager.show(picture.page, picture.pages, picture.pager);
    const { large, rest, floating } = picture.scene;
    const pinnable = large.length + rest.length > 1;
    for (const [key, tile] of this.#tiles) {
      if (picture.boxes.has(key)) tile.stand({ pinned: state.pinned === key, pinnable, large: large.includes(key), floating: floating && key === SELF });
    }
    const nobody = large.length + rest.length === 0;
    const hidden = nobody && this.#tiles.has(SELF);
    this.#empty.hidden = !nobody;
    this.#showSelf.hidden = !hidden;
    setText(this.#empty, hidden ? "self-view.is-hidden" : "stage.empty");
    this.#small.show(this.#foremost());
    this.#look();
  }

  /** @param {State} state @returns {Picture} */
  #compose(state) {
    const scene = this.#scene(state);
    const { large, rest, floating } = scene;
    const ratio = (/** @type {string} */ key) => this.#tiles.get(key)?.ratio || USUAL_RATIO;
    const plan = planStage(this.#space, { ratios: large.map(ratio), count: rest.length });
    const page = Math.min(state.page, plan.pages - 1);
    this.#perPage = { page, perPage: plan.perPage };
    const shown = pageOf(rest, page, plan.perPage);
    /** @type {Map<string, Box>} */
    const boxes = new Map();
    /** @param {string[]} keys @param {Box | null} area @param {number} seats */
    const fill = (keys, area, seats) => {
      if (!area) return;
      moved(arrangeGrid(keys.map(ratio), area, seats), area).forEach((box, index) => boxes.set(keys[index], box));
    };
    fill(large, plan.large, 0);
    fill(shown, plan.people, plan.pages > 1 ? plan.perPage : 0);
    const area = plan.large ?? plan.people;
    const alone = large.length ? large : shown;
    if (floating && area && area.width > 0) boxes.set(SELF, floatBox(area, ratio(SELF), state.selfCorner, alone.length === 1 ? boxes.get(alone[0]) : undefined));
    return { boxes: this.#turned(boxes), scene, page, pages: plan.pages, pager: plan.pager };
  }

  /** Pages that run from the right have the stage mirrored. @param {Map<string, Box>} boxes */
  #turned(boxes) {
    if (!runsFromRight()) return boxes;
    return new Map([...boxes].map(([key, box]) => [key, { ...box, x: this.#space.width - box.x - box.width }]));
  }

  /** The one to see when there is room for one: a screen, or who is large, or who spoke last. */
  #foremost() {
    const { large, rest } = this.#scene(this.call.store.state);
    const key = large[0] ?? (rest.includes(this.#spotlight) ? this.#spotlight : (rest.find((each) => each !== SELF) ?? SELF));
    return this.#contents.find((content) => content.key === key);
  }

  /** @param {Tile} tile */
  #showQuality(tile) {
    const quality = this.closest("turnd-call")?.querySelector("turnd-quality");
    const { participant = "", source } = tile.dataset;
    const button = /** @type {HTMLElement} */ (tile.querySelector(".tile-quality"));
    if (!(quality instanceof Quality) || (source !== "camera" && source !== "screen")) return;
    quality.show(button, { participant, source, self: tile.classList.contains("is-self") });
  }

  /** This person's camera tile, if it is on the page. @param {string} participant */
  #seen(participant) {
    const key = participant === this.call.store.state.self ? SELF : participant;
    return this.#placing.box(key) && this.#tiles.get(key);
  }

  /** Says what of the others is seen now, and how large. */
  #look = () => {
    const seen = document.hidden ? [] : [...this.#tiles.values()].map((tile) => this.#sight(tile));
    const windows = [this.#small.seen(), SmallWindow.pictured(this.#inWindow?.shown)];
    this.call.view.update(viewTiles(largestOfEach([...windows, ...seen].filter((each) => each !== null)), devicePixelRatio));
  };

  /** @param {Tile} tile @returns {SeenTile | null} */
  #sight(tile) {
    const box = this.#placing.box(tile.key);
    if (!box || !tile.shown || tile === this.#inWindow) return null;
    const whole = document.fullscreenElement;
    if (whole instanceof Tile) return whole === tile ? { ...tile.shown, width: innerWidth, height: innerHeight, pinned: true } : null;
    return { ...tile.shown, width: box.width, height: box.height, pinned: tile.classList.contains("is-large") };
  }

  /** The tile whose picture has a small window of its own, which stays when the page is hidden. */
  get #inWindow() {
    const tile = document.pictureInPictureElement?.closest("turnd-tile");
    return tile instanceof Tile ? tile : null;
  }
}

customElements.define("turnd-stage", Stage);
