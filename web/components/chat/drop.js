/** Files that come by dragging or pasting, anywhere on the call. They are laid ready in the chat; nothing goes without Send. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";
import { icon } from "../../js/icons.js";
import { maySendFiles } from "../../js/state.js";

/** @param {DataTransfer | null} transfer */
function bringsFiles(transfer) {
  return transfer?.types.includes("Files") ?? false;
}

/** The files of it; folders cannot be sent. @param {DataTransfer} transfer */
function filesOf(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const files = items.filter((item) => !item.webkitGetAsEntry()?.isDirectory).map((item) => item.getAsFile());
  return { files: /** @type {File[]} */ (files.filter(Boolean)), folders: files.length < items.length };
}

class Drop extends View {
  #ends = new AbortController();

  /** @override */
  build() {
    this.append(make("div", { class: "drop-words" }, icon("attach"), make("p", { text: "file.drop" })));
  }

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    this.hidden = true;
    this.#ends = new AbortController();
    const { signal } = this.#ends;
    const on = (/** @type {string} */ type, /** @type {(event: any) => void} */ handler) => document.addEventListener(type, handler, { signal });
    on("dragenter", (event) => this.#over(event));
    on("dragover", (event) => this.#over(event));
    on("dragleave", (event) => {
      if (event.relatedTarget === null) this.hidden = true;
    });
    on("drop", (event) => this.#dropped(event));
    on("paste", (event) => this.#pasted(event));
    addEventListener("beforeunload", (event) => {
      if (this.call.files.busy) event.preventDefault();
    }, { signal });
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    this.#ends.abort();
  }

  get #welcome() {
    return maySendFiles(this.call.store.state);
  }

  /** A browser would open the file in the place of the call: that never happens. @param {DragEvent} event */
  #over(event) {
    if (!bringsFiles(event.dataTransfer)) return;
    event.preventDefault();
    this.hidden = !this.#welcome;
    if (event.dataTransfer) event.dataTransfer.dropEffect = this.#welcome ? "copy" : "none";
  }

  /** @param {DragEvent} event */
  #dropped(event) {
    if (!event.dataTransfer || !bringsFiles(event.dataTransfer)) return;
    event.preventDefault();
    this.hidden = true;
    if (this.#welcome) this.#take(event.dataTransfer);
  }

  /** Programs that copy text often add a picture of it: then the text is meant. @param {ClipboardEvent} event */
  #pasted(event) {
    const { clipboardData } = event;
    if (!clipboardData || !this.#welcome || clipboardData.files.length === 0 || clipboardData.types.includes("text/plain")) return;
    event.preventDefault();
    this.#take(clipboardData);
  }

  /** @param {DataTransfer} transfer */
  #take(transfer) {
    const { files, folders } = filesOf(transfer);
    if (folders) this.call.notify("notice.no-folders");
    if (files.length === 0) return;
    this.call.files.attach(files);
    this.call.showPanel("chat");
  }
}

customElements.define("turnd-drop", Drop);
