/**
 * One file on its way to the room by tus 1.0 (PROTOCOL.md, Files): made, sent slice by slice, and taken up where it broke for as
 * long as nobody cancels it. The browser reads each slice from the disk while it goes out; the file is never in memory.
 */

/**
 * @typedef {{method: string, url: string, headers: Record<string, string>, body?: Blob, signal: AbortSignal, progress?: (sent: number) => void}} Request
 * @typedef {{status: number, header: (name: string) => string | null}} Answer
 * @typedef {(request: Request) => Promise<Answer>} Send rejects when no answer came
 * @typedef {"network" | "server" | "seat" | "busy"} Wait why an upload does not go on for a moment
 * @typedef {"forbidden" | "receiver" | "too-large" | "full" | "unreadable" | "other"} Refusal
 */

const RETRY_DELAYS_MS = [300, 800, 1500, 3000, 5000];
/** A request that moved nothing for so long hangs on a dead connection, if there is news of another one. */
const STALLED_MS = 2000;
/** Uploads that the server forgot are begun again, within reason. */
const MAX_BEGINNINGS = 4;

/** @type {Record<number, Refusal>} */
const REFUSALS = { 403: "forbidden", 413: "too-large", 507: "full" };
/** @type {Record<number, Wait>} */
const WAITS = { 401: "seat", 429: "busy" };

/** Trying again is of no use. */
export class UploadRefused extends Error {
  /** @param {Refusal} reason */
  constructor(reason) {
    super(reason);
    this.name = "UploadRefused";
    this.reason = reason;
  }
}

/** Trying again may help. */
class Interrupted extends Error {
  /** @param {Wait} why */
  constructor(why) {
    super(why);
    this.name = "Interrupted";
    this.why = why;
  }
}

/** @param {string} text */
function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

/** @param {number} ms @param {AbortSignal} signal */
function pause(ms, signal) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    })
  );
}

export class TusUpload {
  /** How many bytes the server has, as far as we know. */
  offset = 0;
  /** Empty until the server has made it. */
  url = "";
  #cancelled = new AbortController();
  /** Ends what is waited for now: a request, or the time until the next one. */
  #step = new AbortController();
  #movedAt = 0;
  #resting = false;
  #beginnings = 0;

  /**
   * @param {{file: File, to?: string, endpoint: string, token: () => string, send: Send, now?: () => number,
   *   pace: import("./upload-pace.js").UploadPace, tell: (sent: number, wait: Wait | null) => void}} options `token` is that of the seat we have now
   */
  constructor({ file, to, endpoint, token, send, pace, tell, now = () => performance.now() }) {
    this.file = file;
    this.to = to;
    this.endpoint = endpoint;
    this.token = token;
    this.send = send;
    this.pace = pace;
    this.tell = tell;
    this.now = now;
  }

  get cancelled() {
    return this.#cancelled.signal.aborted;
  }

  /** Until all of it has arrived or it was cancelled; UploadRefused. */
  async run() {
    for (let failures = 0; !this.cancelled; ) {
      const before = this.offset;
      try {
        await this.#advance();
        return;
      } catch (error) {
        if (this.cancelled) break;
        if (!(error instanceof Interrupted)) throw error;
        await this.#checkReadable();
        failures = this.offset > before ? 0 : failures + 1;
        this.tell(this.offset, error.why);
        await this.#rest(RETRY_DELAYS_MS[Math.min(failures, RETRY_DELAYS_MS.length - 1)]);
      }
    }
    await this.#forget();
  }

  cancel() {
    this.#cancelled.abort();
    this.#step.abort();
  }

  /** There is a connection again: try now, and not on one that has been silent for a while. */
  wake() {
    if (this.#resting || this.now() - this.#movedAt >= STALLED_MS) this.#step.abort();
  }

  /** @param {number} ms */
  async #rest(ms) {
    this.#step = new AbortController();
    this.#resting = true;
    await pause(ms, this.#step.signal);
    this.#resting = false;
  }

  async #advance() {
    if (this.url) await this.#ask();
    if (!this.url) await this.#begin();
    while (this.offset < this.file.size) await this.#sendSlice();
  }

  async #begin() {
    if ((this.#beginnings += 1) > MAX_BEGINNINGS) throw new UploadRefused("other");
    const metadata = [`filename ${base64(this.file.name)}`, ...(this.to ? [`to ${base64(this.to)}`] : [])];
    const answer = await this.#request("POST", this.endpoint, { "Upload-Length": String(this.file.size), "Upload-Metadata": metadata.join(",") });
    const location = answer.header("Location");
    if (answer.status === 404) throw new UploadRefused("receiver");
    if (answer.status !== 201 || !location) throw this.#failure(answer.status);
    this.url = new URL(location, this.endpoint).href;
    this.offset = 0;
  }

  /** How far it is. One that the server knows no more is begun anew. */
  async #ask() {
    const answer = await this.#request("HEAD", this.url, {});
    if ([403, 404, 410].includes(answer.status)) this.url = "";
    else if (answer.status !== 200) throw this.#failure(answer.status);
    // What has no offset any more is a file already: the answer to its last byte was lost.
    else this.offset = Number(answer.header("Upload-Offset") ?? this.file.size);
  }

  async #sendSlice() {
    const { offset, file } = this;
    const body = file.slice(offset, offset + (await this.pace.next()));
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
    const began = this.now();
    const answer = await this.#request("PATCH", this.url, headers, body, (sent) => {
      this.#movedAt = this.now();
      this.tell(offset + sent, null);
    });
    if (answer.status !== 204) throw this.#failure(answer.status);
    this.offset = Number(answer.header("Upload-Offset") ?? offset + body.size);
    this.tell(this.offset, null);
    const rest = this.pace.rest(body.size, this.now() - began);
    if (rest > 0 && this.offset < file.size && !this.cancelled) await this.#rest(rest);
  }

  /**
   * @param {string} method @param {string} url @param {Record<string, string>} headers @param {Blob} [body] @param {(sent: number) => void} [progress]
   * @returns {Promise<Answer>}
   */
  async #request(method, url, headers, body, progress) {
    this.#step = new AbortController();
    if (this.cancelled) this.#step.abort();
    this.#movedAt = this.now();
    const all = { Authorization: `Bearer ${this.token()}`, "Tus-Resumable": "1.0.0", ...headers };
    try {
      return await this.send({ method, url, headers: all, body, progress, signal: this.#step.signal });
    } catch {
      throw new Interrupted("network");
    }
  }

  /** @param {number} status */
  #failure(status) {
    if (status in REFUSALS) return new UploadRefused(REFUSALS[status]);
    if (status >= 500) return new Interrupted("server");
    // What came broke off, or the server has counted otherwise or has forgotten it: ask, and go on.
    if ([404, 408, 409, 410].includes(status)) return new Interrupted("network");
    return status in WAITS ? new Interrupted(WAITS[status]) : new UploadRefused("other");
  }

  /** A file that was moved or changed meanwhile breaks like a network does, for ever. */
  async #checkReadable() {
    if (this.offset >= this.file.size) return;
    try {
      await this.file.slice(this.offset, this.offset + 1).arrayBuffer();
    } catch {
      throw new UploadRefused("unreadable");
    }
  }

  /** What has come is not needed any more. */
  async #forget() {
    if (!this.url) return;
    const headers = { Authorization: `Bearer ${this.token()}`, "Tus-Resumable": "1.0.0" };
    // It is the server's to throw away what nobody goes on with; this only does it earlier.
    await this.send({ method: "DELETE", url: this.url, headers, signal: new AbortController().signal }).catch(() => {});
  }
}
