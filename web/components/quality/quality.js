/** What is received of one tile and why it is no better, and what we send and receive in all: opened from a tile's bars. */

import { View } from "../../js/view.js";
import { make, setText } from "../../js/dom.js";
import { t } from "../../js/language.js";
import { barsOf, kilobytes, ownBars, reasonKey, sampleTraffic, traffic } from "../../js/quality.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/quality.js").Sample} Sample */
/** @typedef {{participant: string, source: "camera" | "screen", self: boolean}} Subject */

const FIGURES = /** @type {const} */ (["sending", "receiving", "lost", "delay", "way"]);
const INTERVAL_MS = 1500;
const FIRST_MS = 600;
const MARGIN = 8;
/** The press on the button that opened it closes it: the browser does that before the click comes. */
const SAME_PRESS_MS = 400;

/** The bars of a tile. @param {State} state @param {Subject} subject @param {string | undefined} mid of the slot */
export function barsFor(state, { self }, mid) {
  return self ? ownBars(state) : barsOf(state.received.streams.find((stream) => stream.mid === mid)?.limit);
}

export class Quality extends View {
  /** @type {Subject | null} */
  #subject = null;
  /** @type {HTMLElement | null} */
  #anchor = null;
  /** @type {Sample | null} */
  #before = null;
  /** @type {ReturnType<typeof traffic> | null} */
  #traffic = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {{anchor: HTMLElement | null, at: number}} */
  #last = { anchor: null, at: 0 };
  #title = make("h2", { class: "quality-title" });
  #picture = make("p", { class: "quality-picture" });
  #reason = make("p", { class: "quality-reason" });
  #figures = make("dl", { class: "quality-figures" });
  #values = new Map(FIGURES.map((name) => [name, make("dd", { data: { figure: name } })]));
  #noUdp = make("p", { class: "quality-note", text: "quality.no-udp", hidden: true });

  /** @override */
  build() {
    this.setAttribute("popover", "auto");
    this.setAttribute("role", "dialog");
    this.tabIndex = -1;
    for (const [name, value] of this.#values) this.#figures.append(make("dt", { text: `quality.${name}` }), value);
    this.append(this.#title, this.#picture, this.#reason, this.#figures, this.#noUdp);
    this.addEventListener("beforetoggle", (event) => {
      if (/** @type {ToggleEvent} */ (event).newState === "closed") this.#closed();
    });
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#closed();
  }

  /** Opens beside the button, or closes what it opened. @param {HTMLElement} anchor @param {Subject} subject */
  show(anchor, subject) {
    if (!("showPopover" in this)) return;
    if (this.#last.anchor === anchor && performance.now() - this.#last.at < SAME_PRESS_MS) return;
    if (this.#anchor) this.hidePopover();
    this.#anchor = anchor;
    this.#subject = subject;
    anchor.setAttribute("aria-expanded", "true");
    this.update(this.call.store.state);
    this.showPopover();
    this.#place();
    this.focus({ preventScroll: true });
    this.#measure();
  }

  /** @override @param {State} state */
  update(state) {
    const subject = this.#subject;
    if (!subject) return;
    const person = state.participants.find(({ id }) => id === subject.participant);
    if (!subject.self && !person) {
      this.hidePopover();
      return;
    }
    this.#title.textContent = subject.self ? t("quality.of-own") : (person?.name ?? "");
    this.setAttribute("aria-label", this.#title.textContent);
    const received = state.received.streams.find(({ mid }) => mid === this.#mid(subject));
    setText(this.#reason, subject.self ? this.#ownReason(state) : reasonKey(received?.limit));
    this.#picture.textContent = subject.self ? "" : this.#describe(subject);
    this.#picture.hidden = this.#picture.textContent === "";
    this.#show(state.received.estimate_kbps);
  }

  /** @param {number} estimate_kbps what the way to us takes, as the server sees it; 0: not known */
  #show(estimate_kbps) {
    const now = this.#traffic;
    this.#noUdp.hidden = !now?.noUdp;
    for (const [name, value] of this.#values) value.textContent = now ? this.#figure(name, now, estimate_kbps) : "…";
  }

  /** @param {(typeof FIGURES)[number]} name @param {ReturnType<typeof traffic>} now @param {number} estimate_kbps @returns {string} */
  #figure(name, { sent, received, loss, rtt_ms, ways }, estimate_kbps) {
    const percent = (/** @type {number} */ part) => Math.round(part * 1000) / 10;
    switch (name) {
      case "sending":
        return t("quality.rate", { kB: kilobytes(sent) });
      case "receiving":
        return estimate_kbps ? t("quality.rate-of", { kB: kilobytes(received), most: kilobytes(estimate_kbps * 125) }) : t("quality.rate", { kB: kilobytes(received) });
      case "lost":
        return t("quality.lost-both", { incoming: percent(loss.incoming), outgoing: percent(loss.outgoing) });
      case "delay":
        return t("quality.ms", { ms: rtt_ms });
      default:
        return ways.map((key) => t(key)).join(" · ") || "…";
    }
  }

  /** @param {Subject} subject */
  #mid({ participant, source }) {
    return this.call.subscriber.slot(participant, source)?.mid;
  }

  /** @param {State} state @returns {string} */
  #ownReason({ camera, screen }) {
    const { publisher } = this.call;
    if (camera !== "on" && screen !== "on") return "quality.own.no-picture";
    const watched = (camera === "on" && publisher.watched("camera")) || (screen === "on" && publisher.watched("screen"));
    return watched ? "quality.own.watched" : "quality.own.unwatched";
  }

  /** @param {Subject} subject @returns {string} */
  #describe(subject) {
    const stream = this.#traffic?.stream(this.#mid(subject) ?? "");
    if (!this.#traffic) return "…";
    if (!stream?.width || stream.bytes === 0) return t("quality.nothing");
    const { width, height, framerate, bytes } = stream;
    return t("quality.picture", { width, height, framerate, kB: kilobytes(bytes) });
  }

  async #measure() {
    const { publishConnection, subscribeConnection } = this.call;
    const subject = this.#subject;
    const sample = await sampleTraffic([publishConnection, subscribeConnection]).catch(() => null);
    if (!subject || subject !== this.#subject) return;
    if (sample && this.#before) this.#traffic = traffic(this.#before, sample);
    this.#timer = setTimeout(() => this.#measure(), this.#before ? INTERVAL_MS : FIRST_MS);
    this.#before = sample;
    this.update(this.call.store.state);
  }

  /** Above its button, and never over the edge of the window. */
  #place() {
    const button = /** @type {HTMLElement} */ (this.#anchor).getBoundingClientRect();
    const { width, height } = this.getBoundingClientRect();
    const left = Math.min(innerWidth - width - MARGIN, Math.max(MARGIN, button.right - width));
    const above = button.top - 2 * MARGIN >= height;
    this.style.left = `${Math.round(left)}px`;
    // Held at the end that is next to the button, so that words that come later do not cover it.
    this.style.bottom = above ? `${Math.round(innerHeight - button.top + MARGIN)}px` : "";
    this.style.top = above ? "" : `${Math.round(Math.min(innerHeight - height - MARGIN, button.bottom + MARGIN))}px`;
  }

  #closed() {
    clearTimeout(this.#timer);
    this.#anchor?.setAttribute("aria-expanded", "false");
    this.#last = { anchor: this.#anchor, at: performance.now() };
    this.#anchor = this.#subject = this.#before = this.#traffic = null;
  }
}

customElements.define("turnd-quality", Quality);
