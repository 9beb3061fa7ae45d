/** A tus server in memory, with what can happen to a real one: it breaks, restarts, forgets, refuses. */

const text = (base64) => Buffer.from(base64, "base64").toString();

export class TusServer {
  /** By URL: `{length, metadata, chunks, done}`. */
  uploads = new Map();
  requests = [];
  down = false;
  /** Answers instead of what would come, first to last: a status, or a function of the request. */
  script = [];
  token = "token-1";

  constructor(endpoint) {
    this.endpoint = endpoint;
    this.send = (request) => this.#send(request);
  }

  async #send({ method, url, headers, body, signal, progress }) {
    await new Promise(setImmediate);
    this.requests.push({ method, url, headers });
    if (this.down || signal.aborted) throw new Error("no network");
    const scripted = this.script.shift();
    if (typeof scripted === "number") return answer(scripted);
    if (scripted) return scripted({ method, url, headers, body, signal, progress });
    if (headers.Authorization !== `Bearer ${this.token}`) return answer(401);
    if (headers["Tus-Resumable"] !== "1.0.0") return answer(412);
    if (method === "POST") return this.#make(headers);
    const upload = this.uploads.get(url);
    if (!upload) return answer(404);
    if (method === "DELETE") {
      this.uploads.delete(url);
      return answer(204);
    }
    if (method === "HEAD") return upload.done ? answer(200) : answer(200, { "Upload-Offset": String(upload.data.length) });
    return this.#take(upload, headers, Buffer.from(await body.arrayBuffer()), progress);
  }

  #make(headers) {
    const metadata = Object.fromEntries(headers["Upload-Metadata"].split(",").map((pair) => pair.split(" ")).map(([key, value]) => [key, text(value)]));
    const url = `${this.endpoint}/${this.uploads.size + 1}`;
    this.uploads.set(url, { length: Number(headers["Upload-Length"]), metadata, data: Buffer.alloc(0), done: false });
    return answer(201, { Location: new URL(url).pathname });
  }

  #take(upload, headers, bytes, progress) {
    if (Number(headers["Upload-Offset"]) !== upload.data.length) return answer(409);
    upload.data = Buffer.concat([upload.data, bytes]);
    upload.done = upload.data.length === upload.length;
    progress?.(bytes.length);
    return answer(204, { "Upload-Offset": String(upload.data.length) });
  }

  /** A script's entry: takes so many bytes of the slice, then the connection breaks. @param {number} count */
  breakAfter(count) {
    return async ({ url, body }) => {
      const upload = this.uploads.get(url);
      upload.data = Buffer.concat([upload.data, Buffer.from(await body.slice(0, count).arrayBuffer())]);
      upload.done = upload.data.length === upload.length;
      throw new Error("broken");
    };
  }

  /** Methods of all requests, in order. */
  get methods() {
    return this.requests.map(({ method }) => method).join(" ");
  }
}

function answer(status, headers = {}) {
  return { status, header: (name) => headers[name] ?? null };
}
