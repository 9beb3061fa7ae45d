/** Our files on their way: how far they are, why they wait, and what can be done. */

import { View } from "../../js/view.js";
import { make, setLabel } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { currentLanguage, t } from "../../js/language.js";
import { fileSize, plainName } from "../../js/file-size.js";
import { fileName } from "./message-line.js";

/** @typedef {import("../../js/state.js").State} State */
/** @typedef {import("../../js/state.js").Upload} Upload */

/** One of them; its parts stay while its numbers change. */
class UploadLine {
  item = make("li", { class: "file-card upload" });
  #about = make("span", { class: "file-about" });
  #bar = make("progress", { class: "upload-bar" });
  #again = make("button", { class: "button small", type: "button", text: "again", data: { action: "upload-again" } });
  #cancel = make("button", { class: "round", type: "button", data: { action: "cancel-upload" } }, icon("close"));

  /** @param {Upload} upload @param {import("../../js/file-transfer.js").FileTransfer} files */
  constructor({ id, name, bytes }, files) {
    this.#bar.max = bytes;
    this.#cancel.addEventListener("click", () => files.cancel(id));
    this.#again.addEventListener("click", () => files.again(id));
    const words = make("div", { class: "file-words" }, fileName(name), this.#bar, this.#about, this.#again);
    this.item.append(icon("file"), words, this.#cancel);
  }

  /** @param {Upload} upload */
  show(upload) {
    const { name, sent, phase } = upload;
    const failed = phase === "failed";
    this.item.dataset.upload = phase;
    this.#bar.value = sent;
    this.#bar.hidden = failed;
    this.#bar.setAttribute("aria-label", t("file.sending-name", { name: plainName(name) }));
    this.#again.hidden = !failed || upload.reason === "unreadable";
    this.#cancel.setAttribute("aria-label", t(failed ? "file.drop-name" : "file.cancel-name", { name: plainName(name) }));
    this.#cancel.title = t(failed ? "chat.discard" : "cancel");
    this.#about.classList.toggle("is-flaw", failed);
    this.#about.textContent = UploadLine.#words(upload);
  }

  /** @param {Upload} upload */
  static #words({ bytes, sent, phase, reason, receiver }) {
    const language = currentLanguage();
    if (phase === "failed") return t(`file.failed.${reason}`);
    if (phase === "waiting") return t(`file.waiting.${reason}`);
    const whom = receiver ? ` · ${t("chat.private-to", { name: receiver })}` : "";
    if (phase === "queued") return t("file.queued", { size: fileSize(bytes, language) }) + whom;
    return t("file.sent-of", { sent: fileSize(sent, language), size: fileSize(bytes, language) }) + whom;
  }
}

class Uploads extends View {
  #list = make("ul", { class: "chat-uploads" });
  /** @type {Map<string, UploadLine>} */
  #lines = new Map();

  /** @override */
  build() {
    this.append(this.#list);
  }

  /** @override @param {State} state */
  update({ uploads }) {
    this.hidden = uploads.length === 0;
    setLabel(this.#list, "file.uploads");
    for (const [id, { item }] of this.#lines) {
      if (uploads.some((each) => each.id === id)) continue;
      item.remove();
      this.#lines.delete(id);
    }
    for (const upload of uploads) {
      const line = this.#lines.get(upload.id) ?? new UploadLine(upload, this.call.files);
      if (!this.#lines.has(upload.id)) this.#list.append(line.item);
      this.#lines.set(upload.id, line);
      line.show(upload);
    }
  }
}

customElements.define("turnd-uploads", Uploads);
