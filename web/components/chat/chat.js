/** The chat: beside the call on a wide page, below it on a phone, never over it, and only when asked for. */

import { View } from "../../js/view.js";
import { make, makeElement, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage } from "../../js/language.js";
import { chatText, exportName } from "../../js/chat-export.js";
import { Composer } from "./composer.js";
import { dayLine, messageLine } from "./message-line.js";
import "./drop.js";
import "./uploads.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/state.js").ShownMessage} ShownMessage */

/** Lines of one person that follow each other so fast stand under one head. */
const GOES_ON_SECONDS = 120;

/** @param {ShownMessage} message @param {ShownMessage} [before] */
function goesOn(message, before) {
  const same = before && before.participant === message.participant && before.to === message.to && before.own === message.own;
  return Boolean(same && message.time - before.time < GOES_ON_SECONDS);
}

/** @param {ShownMessage} message @param {ShownMessage} [before] */
function isAnotherDay(message, before) {
  const day = (/** @type {number} */ ms) => new Date(ms).toDateString();
  return day(message.time * 1000) !== day(before ? before.time * 1000 : Date.now());
}

class Chat extends View {
  #list = make("ol", { class: "chat-list" });
  #log = make("div", { role: "log", "aria-live": "polite", label: "chat.messages" }, this.#list);
  #empty = make("p", { class: "chat-empty", text: "chat.empty" });
  #save = make("button", { class: "round", type: "button", label: "chat.save", data: { action: "save-chat" } }, icon("save"));
  #composer = makeElement("turnd-composer", Composer);
  #scroll = make("div", { class: "chat-scroll", role: "group", tabindex: "0", label: "controls.chat" }, this.#empty, this.#log, document.createElement("turnd-uploads"));
  /** Lines that are shown, by what they show. @type {Map<ShownMessage, {key: string, line: HTMLElement, day: HTMLElement | null}>} */
  #lines = new Map();
  /** @type {unknown[]} */
  #drawn = [];
  #to = "";
  #atEnd = true;

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = () => this.call.showPanel("");
    const back = make("button", { class: "round panel-back", type: "button", label: "panel.back", data: { action: "back-from-chat" }, on: { click: close } }, icon("back"));
    const shut = make("button", { class: "round panel-close", type: "button", label: "panel.close", data: { action: "close-chat" }, on: { click: close } }, icon("close"));
    this.#save.addEventListener("click", () => this.#export());
    this.addEventListener("sent", () => this.#toEnd());
    this.#scroll.addEventListener("scroll", () => {
      this.#atEnd = this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight < 48;
    });
    // Who reads the end goes on doing so when lines, files or the keyboard of a telephone take place; who reads above is left there.
    const watch = new ResizeObserver(() => {
      if (this.#atEnd) this.#toEnd();
    });
    for (const part of [this.#scroll, ...this.#scroll.children]) watch.observe(part);
    const head = make("header", { class: "panel-head" }, back, make("h2", { text: "controls.chat" }), this.#save, shut);
    this.append(head, this.#scroll, this.#composer);
  }

  /** @override @param {State} state */
  update(state) {
    setLabel(this, "controls.chat");
    const { chat, role, chatTo, panel } = state;
    const open = panel === "chat";
    const opened = open && this.hidden;
    this.hidden = !open;
    this.#empty.hidden = chat.length > 0;
    this.#log.hidden = this.#save.hidden = chat.length === 0;
    // A telephone would bring its keyboard over half of the call.
    if ((opened || (open && chatTo !== this.#to)) && matchMedia("(min-width: 641px)").matches) this.#composer.begin();
    this.#to = chatTo;
    if (opened) this.#toEnd();
    const drawn = [chat, role, currentLanguage()];
    if (drawn.every((each, at) => each === this.#drawn[at])) return;
    this.#drawn = drawn;
    this.#draw(state);
  }

  #toEnd() {
    this.#atEnd = true;
    requestAnimationFrame(() => this.#scroll.scrollTo({ top: this.#scroll.scrollHeight }));
  }

  /** Lines that stay as they are stay in the page, so that a screen reader says only what is new. @param {State} state */
  #draw({ chat, self, role }) {
    const lines = new Map();
    /** @type {HTMLElement[]} */
    const children = [];
    chat.forEach((message, at) => {
      const before = chat[at - 1];
      const anotherDay = isAnotherDay(message, before);
      const place = { call: this.call, self, goesOn: !anotherDay && goesOn(message, before), mayDelete: Boolean(message.own || role === "host") };
      const key = `${currentLanguage()} ${anotherDay} ${place.goesOn} ${place.mayDelete}`;
      let known = this.#lines.get(message);
      if (known?.key !== key) known = { key, line: messageLine(message, place), day: anotherDay ? dayLine(message.time * 1000) : null };
      lines.set(message, known);
      if (known.day) children.push(known.day);
      children.push(known.line);
    });
    this.#lines = lines;
    this.#place(children);
  }

  /** @param {HTMLElement[]} children */
  #place(children) {
    const wanted = new Set(children);
    for (const child of [...this.#list.children]) if (!wanted.has(/** @type {HTMLElement} */ (child))) child.remove();
    children.forEach((child, at) => {
      if (this.#list.children[at] !== child) this.#list.insertBefore(child, this.#list.children[at] ?? null);
    });
  }

  #export() {
    const { room, self, chat } = this.call.store.state;
    const url = URL.createObjectURL(new Blob([chatText({ room, self, chat })], { type: "text/plain;charset=utf-8" }));
    make("a", { href: url, download: exportName(room) }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }
}

customElements.define("turnd-chat", Chat);
