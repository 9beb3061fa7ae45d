/**
 * Files that we send to the room: chosen, then sent one after the other, each of them until it has arrived, was refused or
 * cancelled. What has arrived is a line of the chat; see chat-log.js.
 */

import { sendRequest } from "./http-request.js";
import { UploadPace } from "./upload-pace.js";
import { TusUpload, UploadRefused } from "./tus-upload.js";

/** @typedef {import("./state.js").Store} Store */
/** @typedef {import("./state.js").Upload} Upload */
/** @typedef {import("./protocol.js").SignallingClient} SignallingClient */

export const MAX_ATTACHMENTS = 20;
/** Views are drawn anew for each step. */
const STEP_MS = 200;

/** What is wrong with a file before anything is sent. @param {File} file @param {number} limit */
export function flawOf({ size }, limit) {
  if (size > limit) return "too-large";
  return size === 0 ? "empty" : "";
}

export class FileTransfer {
  #number = 0;
  /** By upload, until it has arrived. @type {Map<string, File>} */
  #files = new Map();
  /** @type {{id: string, upload: TusUpload} | null} */
  #current = null;
  #toldAt = -Infinity;

  /**
   * @param {SignallingClient} signalling @param {Store} store
   * @param {{roundTrip?: () => Promise<number | null>, send?: import("./tus-upload.js").Send, now?: () => number}} [options] `roundTrip` of our media
   */
  constructor(signalling, store, { roundTrip = async () => null, send = sendRequest, now = () => performance.now() } = {}) {
    this.signalling = signalling;
    this.store = store;
    this.send = send;
    this.now = now;
    this.pace = new UploadPace(roundTrip, now);
  }

  /** Where the room's files are. */
  get endpoint() {
    return this.signalling.url.replace(/^ws/, "http").replace(/\/ws$/, "/files");
  }

  /** @param {string} file id */
  addressOf(file) {
    return `${this.endpoint}/${encodeURIComponent(file)}`;
  }

  /** Lays files ready to be sent with the next press; no more than can be shown. @param {Iterable<File>} files */
  attach(files) {
    const { attachments } = this.store.state;
    const more = [...files].map((file) => ({ id: `file-${++this.#number}`, file }));
    this.store.set({ attachments: [...attachments, ...more].slice(0, MAX_ATTACHMENTS) });
  }

  /** @param {string} id */
  detach(id) {
    this.store.set({ attachments: this.store.state.attachments.filter((each) => each.id !== id) });
  }

  /** Sends what lies ready and can be sent; the rest stays. @param {string} to id of the only receiver, or empty @param {string} receiver */
  sendAttachments(to, receiver) {
    const { attachments, uploads, fileLimit } = this.store.state;
    const good = attachments.filter(({ file }) => !flawOf(file, fileLimit));
    for (const { id, file } of good) this.#files.set(id, file);
    /** @type {Upload[]} */
    const more = good.map(({ id, file }) => ({ id, name: file.name, bytes: file.size, sent: 0, phase: "queued", reason: "", to, receiver }));
    this.store.set({ attachments: attachments.filter((each) => !good.includes(each)), uploads: [...uploads, ...more] });
    this.#next();
  }

  /** Whether a file is under way or waits for its turn. */
  get busy() {
    return this.store.state.uploads.some(({ phase }) => phase !== "failed");
  }

  /** @param {string} id */
  cancel(id) {
    if (this.#current?.id === id) this.#current.upload.cancel();
    this.#remove(id);
    this.#next();
  }

  /** Once more what was refused. @param {string} id */
  again(id) {
    this.#change(id, { phase: "queued", reason: "", sent: 0 });
    this.#next();
  }

  /** Takes a file out of the room: our own, or as a host any. @param {string} file id @returns {Promise<boolean>} */
  async withdraw(file) {
    const headers = { Authorization: `Bearer ${this.signalling.resumeToken}`, "Tus-Resumable": "1.0.0" };
    const signal = AbortSignal.timeout(10_000);
    try {
      const { status } = await this.send({ method: "DELETE", url: this.addressOf(file), headers, signal });
      return [204, 404, 410].includes(status);
    } catch {
      return false;
    }
  }

  /** In the room, for the first time or again: what waited for the server goes on. @param {number} limit bytes of a file */
  joined(limit) {
    this.store.set({ fileLimit: limit });
    this.#current?.upload.wake();
  }

  /** The call is over. */
  end() {
    this.#current?.upload.cancel();
    this.#current = null;
    this.#files.clear();
    this.store.set({ uploads: [], attachments: [] });
  }

  async #next() {
    const next = this.store.state.uploads.find(({ phase }) => phase === "queued");
    const file = next && this.#files.get(next.id);
    if (this.#current || !next || !file) return;
    const { id, to } = next;
    const upload = new TusUpload({
      file,
      to,
      endpoint: this.endpoint,
      token: () => this.signalling.resumeToken,
      send: this.send,
      pace: this.pace,
      tell: (sent, wait) => this.#progress(id, sent, wait ?? ""),
      now: this.now,
    });
    this.#current = { id, upload };
    this.#change(id, { phase: "sending" });
    try {
      await upload.run();
      if (!upload.cancelled) this.#remove(id);
    } catch (error) {
      if (!(error instanceof UploadRefused)) throw error;
      this.#change(id, { phase: "failed", reason: error.reason });
    } finally {
      if (this.#current?.upload === upload) this.#current = null;
    }
    this.#next();
  }

  /** @param {string} id @param {number} sent @param {string} wait */
  #progress(id, sent, wait) {
    const known = this.store.state.uploads.find((each) => each.id === id);
    const phase = wait ? "waiting" : "sending";
    if (!known || (phase === known.phase && wait === known.reason && this.now() - this.#toldAt < STEP_MS)) return;
    this.#toldAt = this.now();
    this.#change(id, { sent, phase, reason: wait });
  }

  /** @param {string} id @param {Partial<Upload>} change */
  #change(id, change) {
    this.store.set({ uploads: this.store.state.uploads.map((each) => (each.id === id ? { ...each, ...change } : each)) });
  }

  /** @param {string} id */
  #remove(id) {
    this.#files.delete(id);
    this.store.set({ uploads: this.store.state.uploads.filter((each) => each.id !== id) });
  }
}
