/** Where one writes: to whom, what, and with which files. What is chosen is looked at first, and goes with Send. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { MAX_TEXT, receivers } from "../../js/chat-log.js";
import { flawOf } from "../../js/file-transfer.js";
import { fileSize, plainName } from "../../js/file-size.js";
import { maySendFiles, mayUse } from "../../js/state.js";
import { fileName } from "./message-line.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/state.js").Attachment} Attachment */

const SAY_LEFT_BELOW = 200;
const MAX_HEIGHT = 132;

export class Composer extends View {
  #receiver = make("select", { class: "field compact chat-receiver", id: "chat-receiver", data: { field: "receiver" } });
  #to = make("div", { class: "chat-to" }, make("label", { for: "chat-receiver", text: "chat.to" }), this.#receiver);
  #files = make("ul", { class: "chat-attachments", label: "file.ready" });
  #hint = make("p", { class: "hint chat-hint", id: "chat-hint" });
  #picker = make("input", { type: "file", multiple: true, hidden: true, data: { field: "files" } });
  #attach = make("button", { class: "round", type: "button", label: "file.attach", data: { action: "attach" } }, icon("attach"));
  #input = make("textarea", { class: "field chat-input", rows: "1", maxlength: String(MAX_TEXT), dir: "auto", "aria-describedby": "chat-hint", data: { field: "message" } });
  #send = make("button", { class: "round accent", type: "submit", label: "chat.send", data: { action: "send" } }, icon("send"));
  /** What the receivers and the files were drawn from. */
  #people = "";
  /** @type {unknown} */
  #drawn = null;

  /** @override */
  build() {
    const form = make("form", { class: "chat-form", on: { submit: (/** @type {Event} */ event) => this.#submit(event) } });
    form.append(this.#to, this.#files, this.#hint, make("div", { class: "chat-row" }, this.#picker, this.#attach, this.#input, this.#send));
    this.#receiver.addEventListener("change", () => this.call.store.set({ chatTo: this.#receiver.value }));
    this.#attach.addEventListener("click", () => this.#picker.click());
    this.#picker.addEventListener("change", () => {
      this.call.files.attach(this.#picker.files ?? []);
      this.#picker.value = "";
      this.#input.focus();
    });
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) this.#submit(event);
    });
    this.#input.addEventListener("input", () => {
      this.#grow();
      this.#showHint(this.call.store.state);
    });
    this.append(form);
  }

  /** Ready to be written in. */
  begin() {
    if (!this.#input.disabled) this.#input.focus();
  }

  /** @override @param {State} state */
  update(state) {
    const { chatTo } = state;
    if (state.panel !== "chat") return;
    this.#showReceivers(state);
    this.#showFiles(state);
    this.#showHint(state);
    this.classList.toggle("is-private", chatTo !== "");
    this.#input.disabled = !mayUse(state, "chat");
    this.#input.setAttribute("aria-label", chatTo ? t("chat.message-to", { name: this.#nameOf(chatTo) }) : t("chat.message"));
    this.#input.placeholder = this.#input.disabled ? "" : t(chatTo ? "chat.message-private" : "chat.message");
    this.#attach.hidden = !maySendFiles(state);
    this.#send.disabled = this.#input.disabled && state.attachments.length === 0;
  }

  /** @param {string} participant */
  #nameOf(participant) {
    return this.call.chat.nameOf(participant) || t("chat.somebody");
  }

  /** Whether whom we write to is there. @param {State} state */
  #receiverIsThere(state) {
    return state.chatTo === "" || receivers(state).some(({ id }) => id === state.chatTo);
  }

  /** An open list is not drawn anew under the pointer, unless it changes. @param {State} state */
  #showReceivers(state) {
    const { chatTo } = state;
    const people = receivers(state);
    this.#to.hidden = (people.length === 0 && chatTo === "") || !(mayUse(state, "chat") || maySendFiles(state));
    const options = [{ id: "", name: t("chat.everybody") }, ...people];
    if (!this.#receiverIsThere(state)) options.push({ id: chatTo, name: t("chat.has-left", { name: this.#nameOf(chatTo) }) });
    const drawn = JSON.stringify(options);
    if (drawn !== this.#people) {
      this.#people = drawn;
      this.#receiver.replaceChildren(...options.map(({ id, name }) => new Option(name, id)));
    }
    this.#receiver.value = chatTo;
  }

  /** @param {State} state */
  #showFiles({ attachments, fileLimit }) {
    this.#files.hidden = attachments.length === 0;
    setLabel(this.#files, "file.ready");
    const drawn = `${currentLanguage()} ${fileLimit} ${attachments.map(({ id }) => id).join()}`;
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#files.replaceChildren(...attachments.map((each) => this.#attachment(each, fileLimit)));
  }

  /** @param {Attachment} attachment @param {number} limit */
  #attachment({ id, file }, limit) {
    const flaw = flawOf(file, limit);
    const about = make("span", { class: flaw ? "file-about is-flaw" : "file-about" });
    const size = fileSize(file.size, currentLanguage());
    about.textContent = flaw === "too-large" ? t("file.too-large", { size, limit: fileSize(limit, currentLanguage()) }) : flaw ? t("file.empty") : size;
    const drop = make("button", { class: "round", type: "button", data: { action: "detach" }, on: { click: () => this.call.files.detach(id) } }, icon("close"));
    drop.setAttribute("aria-label", t("file.detach", { name: plainName(file.name) }));
    return make("li", { class: "file-card" }, icon("file"), make("div", { class: "file-words" }, fileName(file.name), about), drop);
  }

  /** @param {State} state */
  #showHint(state) {
    const left = MAX_TEXT - this.#input.value.length;
    const count = left < SAY_LEFT_BELOW ? t("chat.characters-left", { count: left }) : "";
    const words = !mayUse(state, "chat") ? t("chat.forbidden") : !this.#receiverIsThere(state) ? t("chat.receiver-left", { name: this.#nameOf(state.chatTo) }) : count;
    this.#hint.hidden = words === "";
    if (this.#hint.textContent !== words) this.#hint.textContent = words;
  }

  /** @param {Event} event */
  #submit(event) {
    event.preventDefault();
    const { state } = this.call.store;
    const text = this.#input.value.trim();
    // What was meant for one is never sent to all because they have left.
    if (!this.#receiverIsThere(state)) return;
    if (text && mayUse(state, "chat")) {
      this.call.chat.write(text);
      this.#input.value = "";
      this.#grow();
    }
    if (maySendFiles(state)) this.call.files.sendAttachments(state.chatTo, state.chatTo && this.#nameOf(state.chatTo));
    this.dispatchEvent(new Event("sent", { bubbles: true }));
  }

  #grow() {
    const { style } = this.#input;
    style.height = "auto";
    style.height = `${Math.min(this.#input.scrollHeight + 2, MAX_HEIGHT)}px`;
  }
}

customElements.define("turnd-composer", Composer);
