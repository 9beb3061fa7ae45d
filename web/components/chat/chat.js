/** The chat: beside the call on a wide page, below it on a phone, never over it, and only when asked for. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { MAX_TEXT } from "../../js/chat-log.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/state.js").ShownMessage} ShownMessage */

const LINKS = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/g;

/** Text, with its web addresses made pressable. @param {string} text @returns {(Node | string)[]} */
export function withLinks(text) {
  /** @type {(Node | string)[]} */
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(LINKS)) {
    parts.push(text.slice(end, match.index));
    const link = make("a", { href: match[0], target: "_blank", rel: "noopener noreferrer" });
    link.textContent = match[0];
    parts.push(link);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts;
}

class Chat extends View {
  #list = make("ol", { class: "chat-list", role: "log", "aria-live": "polite", tabindex: "0" });
  #empty = make("p", { class: "chat-empty", text: "chat.empty" });
  #input = make("textarea", { class: "field chat-input", rows: "1", maxlength: String(MAX_TEXT), label: "chat.message", placeholder: "chat.message", data: { field: "message" } });
  #send = make("button", { class: "round accent", type: "submit", label: "chat.send", data: { action: "send" } });
  /** @type {ShownMessage[]} */
  #shown = [];
  #language = "";

  /** @override */
  build() {
    this.setAttribute("role", "complementary");
    const close = make("button", { class: "round quiet", type: "button", label: "panel.close", data: { action: "close-chat" }, on: { click: () => this.call.showPanel("") } });
    close.append(icon("close"));
    const head = make("header", { class: "panel-head" }, make("h2", { text: "controls.chat" }), close);
    const form = make("form", { class: "chat-form", on: { submit: (/** @type {Event} */ event) => this.#submit(event) } }, this.#input, this.#send);
    this.#send.append(icon("send"));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#input.addEventListener("input", () => this.#grow());
    this.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.call.showPanel("");
    });
    this.append(head, this.#empty, this.#list, form);
  }

  /** @override @param {State} state */
  update(state) {
    setLabel(this, "controls.chat");
    const open = state.panel === "chat";
    if (open === this.hidden) {
      this.hidden = !open;
      if (open && matchMedia("(min-width: 641px)").matches) this.#input.focus();
    }
    this.#empty.hidden = state.chat.length > 0;
    this.#list.hidden = state.chat.length === 0;
    if (state.chat === this.#shown && this.#language === currentLanguage()) return;
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 48;
    this.#draw(state);
    if (atEnd || !open) this.#toEnd();
  }

  #toEnd() {
    requestAnimationFrame(() => this.#list.scrollTo({ top: this.#list.scrollHeight }));
  }

  /** @param {State} state */
  #draw({ chat, self, name }) {
    this.#shown = chat;
    this.#language = currentLanguage();
    const clock = new Intl.DateTimeFormat(currentLanguage(), { hour: "2-digit", minute: "2-digit" });
    let before = /** @type {ShownMessage | null} */ (null);
    const items = chat.map((message) => {
      const own = message.participant === self || (message.pending ?? false);
      const goesOn = before?.participant === message.participant && message.time - before.time < 120;
      before = message;
      const item = make("li", { class: own ? "chat-item is-own" : "chat-item" });
      item.classList.toggle("is-pending", message.pending ?? false);
      if (!goesOn) {
        const who = make("span", { class: "chat-who" });
        who.textContent = own ? t("you") : message.name || name;
        const when = make("time", { class: "chat-time" });
        when.textContent = clock.format(message.time * 1000);
        item.append(make("p", { class: "chat-head" }, who, when));
      }
      item.append(make("p", { class: "chat-text" }, ...withLinks(message.text)));
      return item;
    });
    this.#list.replaceChildren(...items);
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const text = this.#input.value.trim();
    if (!text) return;
    this.call.chat.write(text);
    this.#input.value = "";
    this.#grow();
    this.#toEnd();
  }

  #grow() {
    const { style } = this.#input;
    style.height = "auto";
    style.height = `${Math.min(this.#input.scrollHeight + 2, 132)}px`;
  }
}

customElements.define("turnd-chat", Chat);
