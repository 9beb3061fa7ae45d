/** One person's camera, or one shared screen: the picture uncropped, or initials; always a name and the microphone's state. */

import { make, write } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";

/**
 * @typedef {object} TileContent
 * @property {string} key
 * @property {string} participant
 * @property {"camera" | "screen"} source
 * @property {string} name
 * @property {boolean} self
 * @property {boolean} microphone
 * @property {boolean} picture whether a picture is meant to be there
 * @property {boolean} connected
 * @property {boolean} speaking
 * @property {MediaStreamTrack | null} track
 * @property {number} hand the place among the raised hands; 0: down
 * @property {import("../../js/quality.js").Bars} bars how well the picture or our own connection does
 *
 * @typedef {object} Place how the tile stands on the stage
 * @property {boolean} pinned
 * @property {boolean} pinnable whether there is anybody else to be larger than
 * @property {boolean} large
 * @property {boolean} floating
 */

/** Layers of one camera differ by a row of pixels; that is no other picture. */
const SAME_RATIO = 0.02;
const REACTION_MS = 4000;
const MAX_REACTIONS = 4;

/** @param {string} name @returns {string} */
export function initials(name) {
  const words = name.trim().split(/[\s\-_.]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((word) => [...word][0].toLocaleUpperCase()).join("") || "?";
}

/** One of eight calm hues, the same for everybody who sees this name. @param {string} name */
export function hueOf(name) {
  let hash = 7;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 9973;
  return hash % 8;
}

export class Tile extends HTMLElement {
  /** Width by height of the last picture; 0 before there was one. A camera that is turned off leaves its shape behind. */
  ratio = 0;
  /** @type {{participant: string, source: "camera" | "screen"} | null} whose picture of the others is meant to be seen here */
  shown = null;
  /** @type {string} of the stage */
  key = "";
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {TileContent | null} */
  #content = null;
  #drawn = "";
  /** @type {Place} */
  #place = { pinned: false, pinnable: false, large: false, floating: false };
  #video = make("video", { autoplay: true, playsinline: true, muted: true });
  #avatar = make("span", { class: "tile-avatar" });
  #name = make("span", { class: "tile-name", dir: "auto" });
  #microphone = icon("microphone-off");
  #status = make("span", { class: "tile-status" });
  #hand = make("span", { class: "tile-hand" });
  #handNumber = make("span");
  #expand = make("button", { class: "tile-button", type: "button", label: "tile.full-screen", data: { action: "full-screen" } }, icon("expand"));
  #pin = make("button", { class: "tile-button", type: "button", data: { action: "pin" } }, icon("pin"));
  /** The way to where our own picture stands. */
  menu = make("button", { class: "tile-button", type: "button", data: { action: "self-view" } }, icon("dots"));
  #quality = make("button", { class: "tile-quality", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", data: { action: "quality" } });
  #reactions = make("div", { class: "tile-reactions", "aria-hidden": "true" });

  connectedCallback() {
    if (this.childElementCount > 0) return;
    const label = make("div", { class: "tile-label" }, this.#microphone, this.#name);
    this.#quality.append(make("span", { class: "bars", "aria-hidden": "true" }, make("span"), make("span"), make("span")));
    this.#hand.append(icon("hand"), this.#handNumber);
    const signs = make("div", { class: "tile-signs" }, this.#hand, this.#status);
    const tools = make("div", { class: "tile-tools" }, this.menu, this.#expand, this.#pin);
    this.append(this.#avatar, this.#video, this.#reactions, signs, label, this.#quality, tools);
    this.setAttribute("role", "group");
    this.#quality.addEventListener("click", () => this.#say("quality"));
    this.#pin.addEventListener("click", () => this.#say("pin"));
    this.addEventListener("dblclick", (event) => {
      if (this.#place.pinnable && !(/** @type {Element} */ (event.target).closest("button"))) this.#say("pin");
    });
    this.#video.muted = true;
    this.#video.addEventListener("resize", () => this.#measure());
    this.#video.addEventListener("loadeddata", () => this.#measure());
    this.#expand.addEventListener("click", () => {
      if (document.fullscreenElement) document.exitFullscreen();
      else this.requestFullscreen?.().catch(() => {});
    });
  }

  /** @param {TileContent} content */
  show(content) {
    this.#content = content;
    this.#play(content.picture ? content.track : null);
    this.#draw();
  }

  /** @param {Place} place */
  stand(place) {
    this.#place = place;
    this.#draw();
  }

  /** Starts again what the browser paused, as iOS does behind a locked screen. */
  resume() {
    if (this.#track && this.#video.paused) this.#video.play().catch(() => {});
  }

  get video() {
    return this.#video;
  }

  /** Lets a reaction rise over the picture for a moment. @param {import("../../js/protocol.js").ReactionKind} reaction */
  react(reaction) {
    const rising = make("span", { class: "tile-reaction" }, icon(reaction));
    rising.style.left = `${20 + Math.random() * 60}%`;
    this.#reactions.append(rising);
    while (this.#reactions.childElementCount > MAX_REACTIONS) this.#reactions.firstElementChild?.remove();
    setTimeout(() => rising.remove(), REACTION_MS);
  }

  /** @param {string} type */
  #say(type) {
    this.dispatchEvent(new Event(type, { bubbles: true }));
  }

  /** Touches the page only when something is to look different. */
  #draw() {
    const content = this.#content;
    if (!content) return;
    const drawn = JSON.stringify([currentLanguage(), content, this.#place], (name, value) => (name === "track" ? undefined : value));
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#drawPerson(content);
    this.#drawSigns(content);
    this.#drawTools(content);
  }

  /** @param {TileContent} content */
  #drawPerson(content) {
    const { participant, source, self } = content;
    for (const { dataset } of [this, this.#video]) Object.assign(dataset, { participant, source });
    this.dataset.hue = String(hueOf(content.name));
    write(this.#name, this.#title(content));
    write(this.#avatar, initials(content.name));
    this.setAttribute("aria-label", this.#describe(content));
    for (const [name, on] of Object.entries({ "is-self": self, "is-speaking": content.speaking, "is-away": !content.connected, "is-muted": !content.microphone, "is-floating": this.#place.floating, "is-large": this.#place.large })) {
      this.classList.toggle(name, on);
    }
    this.shown = content.picture && !self ? { participant, source } : null;
  }

  /** @param {TileContent} content */
  #drawSigns(content) {
    draw(this.#microphone, content.source === "screen" ? "screen" : content.microphone ? "microphone" : "microphone-off");
    this.#status.hidden = content.connected;
    write(this.#status, content.connected ? "" : t("tile.away"));
    this.#hand.hidden = content.hand === 0;
    write(this.#handNumber, content.hand ? String(content.hand) : "");
    this.#quality.hidden = content.self ? content.source === "screen" : !content.picture;
    this.#quality.dataset.bars = String(content.bars);
    this.#quality.setAttribute("aria-label", content.self ? t("quality.of-own") : t("quality.of", { name: content.name }));
  }

  /** @param {TileContent} content */
  #drawTools(content) {
    const { pinned, pinnable, large, floating } = this.#place;
    this.menu.hidden = !content.self || content.source === "screen";
    label(this.menu, t("self-view"));
    this.#expand.hidden = !large || !content.picture || !this.requestFullscreen;
    this.#pin.hidden = floating || !(pinnable || pinned);
    this.#pin.setAttribute("aria-pressed", String(pinned));
    label(this.#pin, t(pinned ? "tile.unpin" : "tile.pin", { name: this.#title(content) }));
    // Who floats can be moved, by keys too.
    if (floating) this.tabIndex = 0;
    else this.removeAttribute("tabindex");
  }

  /** @param {TileContent} content */
  #title({ source, self, name }) {
    if (source === "screen") return self ? name : t("tile.screen-of", { name });
    return self ? t("you") : name;
  }

  /** @param {TileContent} content */
  #describe(content) {
    if (content.source === "screen") return this.#title(content);
    const parts = [this.#title(content), t(content.microphone ? "microphone.is-on" : "microphone.is-off")];
    if (content.hand) parts.push(t("tile.hand", { number: content.hand }));
    if (this.#place.floating) parts.push(t("self-view.move"));
    return parts.join(", ");
  }

  /** @param {MediaStreamTrack | null} track */
  #play(track) {
    if (track !== this.#track) {
      this.#track = track;
      this.#video.srcObject = track ? new MediaStream([track]) : null;
      if (track) this.#video.play().catch(() => {});
    }
    this.#measure();
  }

  #measure() {
    const { videoWidth, videoHeight } = this.#video;
    const ratio = this.#track && videoHeight ? videoWidth / videoHeight : 0;
    this.classList.toggle("has-picture", ratio > 0);
    if (ratio === 0 || Math.abs(ratio / this.ratio - 1) < SAME_RATIO) return;
    this.ratio = ratio;
    this.#say("ratio");
  }
}

/** @param {HTMLButtonElement} button @param {string} words */
function label(button, words) {
  button.setAttribute("aria-label", words);
  button.title = words;
}

customElements.define("turnd-tile", Tile);
