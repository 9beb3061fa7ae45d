/**
 * The call in a small window that stays above others: a document of its own where the browser has that, with the speaker and
 * the buttons one needs there; elsewhere the browser's own window for a picture. Opened by a press only, never by itself.
 */

import { make, setLabel, write } from "../../js/dom.js";
import { draw, icon } from "../../js/icons.js";
import { maySend } from "../../js/state.js";
import { hueOf, initials } from "../tile/tile.js";

/** @typedef {import("../../js/call.js").Call} Call */
/** @typedef {import("../../js/view-report.js").SeenTile} SeenTile */
/** @typedef {import("../tile/tile.js").TileContent} TileContent */
/** @typedef {{requestWindow(options: {width: number, height: number}): Promise<Window>, window: Window | null}} DocumentPictureInPicture */

const SIZE = { width: 400, height: 300 };
const BAR_HEIGHT = 64;
/** Browsers make it a quarter of the screen; who draws it larger loses little. */
const PICTURE_SIZE = { width: 480, height: 270 };

/** @returns {DocumentPictureInPicture | undefined} */
function documents() {
  return /** @type {any} */ (globalThis).documentPictureInPicture;
}

export class SmallWindow {
  static get possible() {
    return Boolean(documents() || document.pictureInPictureEnabled);
  }

  /** @type {Window | null} */
  #window = null;
  /** @type {TileContent | null} */
  #content = null;
  #video = make("video", { class: "small-video", autoplay: true, playsinline: true });
  #avatar = make("span", { class: "people-avatar small-avatar" });
  #name = make("span", { class: "small-name", dir: "auto" });
  #microphoneSign = icon("microphone");
  #microphone = make("button", { class: "control", type: "button", data: { action: "small-microphone" } }, this.#microphoneSign);
  #leave = make("button", { class: "control control-leave", type: "button", data: { action: "small-leave" } }, icon("leave"));

  /** @param {() => Call} call @param {() => void} changed what it shows is another size now, or gone */
  constructor(call, changed) {
    this.call = call;
    this.changed = changed;
    this.#video.muted = true;
    this.#microphone.addEventListener("click", () => call().capture.toggleMicrophone());
    this.#leave.addEventListener("click", () => {
      this.close();
      call().leave();
    });
  }

  /** Opens it, or closes it. @param {HTMLVideoElement | undefined} video for browsers without windows for documents */
  async toggle(video) {
    const windows = documents();
    if (this.#window || document.pictureInPictureElement) {
      this.close();
      return;
    }
    if (!windows) {
      await video?.requestPictureInPicture?.().catch(() => {});
      return;
    }
    const opened = await windows.requestWindow(SIZE).catch(() => null);
    if (opened) this.#furnish(opened);
  }

  close() {
    if (document.pictureInPictureElement) document.exitPictureInPicture().catch(() => {});
    this.#window?.close();
    this.#window = null;
  }

  /** @param {TileContent | undefined} content of who is to be seen in it */
  show(content) {
    this.#content = content ?? null;
    if (!this.#window || !content) return;
    const { name, picture, track, self } = content;
    const stream = /** @type {MediaStream | null} */ (this.#video.srcObject);
    const wanted = picture ? track : null;
    if ((stream?.getVideoTracks()[0] ?? null) !== wanted) this.#video.srcObject = wanted ? new MediaStream([wanted]) : null;
    this.#video.hidden = !wanted;
    this.#video.classList.toggle("is-mirrored", self && content.source === "camera");
    this.#avatar.hidden = Boolean(wanted);
    write(this.#avatar, initials(name));
    this.#avatar.dataset.hue = String(hueOf(name));
    write(this.#name, name);
    const { state } = this.call().store;
    const on = state.microphone === "on";
    this.#microphone.hidden = !maySend(state);
    this.#microphone.classList.toggle("is-off", !on);
    draw(this.#microphoneSign, on ? "microphone" : "microphone-off");
    setLabel(this.#microphone, on ? "microphone.turn-off" : "microphone.turn-on");
    setLabel(this.#leave, "controls.leave-call");
  }

  /** What of the others is seen there. @returns {SeenTile | null} */
  seen() {
    const content = this.#content;
    if (!this.#window || !content?.picture || content.self) return null;
    const { participant, source } = content;
    const { innerWidth: width, innerHeight: height } = this.#window;
    return { participant, source, width, height: Math.max(1, height - BAR_HEIGHT), pinned: true };
  }

  /** The same of the browser's own window for a picture. @param {{participant: string, source: "camera" | "screen"} | null | undefined} shown @returns {SeenTile | null} */
  static pictured(shown) {
    return shown ? { ...shown, ...PICTURE_SIZE, pinned: true } : null;
  }

  /** @param {Window} opened */
  #furnish(opened) {
    this.#window = opened;
    const { document: there } = opened;
    for (const sheet of document.querySelectorAll("link[rel=stylesheet]")) {
      there.head.append(make("link", { rel: "stylesheet", href: /** @type {HTMLLinkElement} */ (sheet).href }));
    }
    const { documentElement: here } = document;
    Object.assign(there.documentElement, { lang: here.lang, dir: here.dir });
    const look = () => (there.documentElement.dataset.look = here.dataset.look);
    const looks = new MutationObserver(look);
    looks.observe(here, { attributeFilter: ["data-look"] });
    look();
    there.title = document.title;
    there.body.className = "small-window";
    const picture = make("div", { class: "small-picture" }, this.#avatar, this.#video, this.#name);
    there.body.append(picture, make("div", { class: "small-bar" }, this.#microphone, this.#leave));
    opened.addEventListener("pagehide", () => {
      looks.disconnect();
      this.#window = null;
      this.changed();
    });
    opened.addEventListener("resize", this.changed);
    this.show(this.#content ?? undefined);
    this.changed();
  }
}
