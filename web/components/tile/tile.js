/** One person's camera, or one shared screen: the picture uncropped, or initials; always a name and the microphone's state. */

import { make, setText } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { t } from "../../js/language.js";

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
 * @property {import("../../js/quality.js").Bars} bars how well the picture or our own connection does
 */

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
  /** Width by height of the picture; 0 while there is none. */
  ratio = 0;
  /** @type {{participant: string, source: "camera" | "screen"} | null} whose picture of the others is meant to be seen here */
  shown = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  #video = make("video", { autoplay: true, playsinline: true, muted: true });
  #avatar = make("span", { class: "tile-avatar" });
  #name = make("span", { class: "tile-name" });
  #microphone = icon("microphone-off");
  #status = make("span", { class: "tile-status" });
  #expand = make("button", { class: "round quiet tile-expand", type: "button", label: "tile.full-screen", data: { action: "full-screen" } });
  #quality = make("button", { class: "tile-quality", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", data: { action: "quality" } });

  connectedCallback() {
    if (this.childElementCount > 0) return;
    const label = make("div", { class: "tile-label" });
    label.append(this.#microphone, this.#name);
    this.#expand.append(icon("expand"));
    const bars = make("span", { class: "bars", "aria-hidden": "true" }, make("span"), make("span"), make("span"));
    this.#quality.append(bars);
    this.append(this.#avatar, this.#video, this.#status, label, this.#quality, this.#expand);
    this.#quality.addEventListener("click", () => this.dispatchEvent(new Event("quality", { bubbles: true })));
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
    this.dataset.participant = content.participant;
    this.dataset.source = content.source;
    this.dataset.hue = String(hueOf(content.name));
    this.classList.toggle("is-self", content.self);
    this.classList.toggle("is-speaking", content.speaking);
    this.classList.toggle("is-away", !content.connected);
    this.classList.toggle("is-muted", !content.microphone);
    this.#video.dataset.participant = content.participant;
    this.#video.dataset.source = content.source;
    const name = content.self ? t("you") : content.name;
    this.#name.textContent = content.source === "screen" ? t("tile.screen-of", { name: content.name }) : name;
    this.#avatar.textContent = initials(content.name);
    draw(this.#microphone, content.source === "screen" ? "screen" : content.microphone ? "microphone" : "microphone-off");
    this.#expand.hidden = content.source !== "screen" || !this.requestFullscreen;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", this.#describe(content, name));
    if (content.connected) this.#status.textContent = "";
    else setText(this.#status, "tile.away");
    this.#status.hidden = content.connected;
    this.#quality.hidden = !content.picture && !content.self;
    this.#quality.dataset.bars = String(content.bars);
    this.#quality.setAttribute("aria-label", content.self ? t("quality.of-own") : t("quality.of", { name: content.name }));
    const { participant, source } = content;
    this.shown = content.picture && !content.self ? { participant, source } : null;
    this.#play(content.picture ? content.track : null);
  }

  /** Starts again what the browser paused, as iOS does behind a locked screen. */
  resume() {
    if (this.#track && this.#video.paused) this.#video.play().catch(() => {});
  }

  /** @param {TileContent} content @param {string} name */
  #describe(content, name) {
    if (content.source === "screen") return t("tile.screen-of", { name });
    return `${name}, ${t(content.microphone ? "microphone.is-on" : "microphone.is-off")}`;
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
    if (ratio === this.ratio) return;
    this.ratio = ratio;
    this.dispatchEvent(new Event("ratio", { bubbles: true }));
  }
}

customElements.define("turnd-tile", Tile);
