/** One HTTP request that tells how much of its body has gone out, which `fetch` does not; see tus-upload.js. */

/** Without any progress for so long the connection is dead, whatever the system still believes. */
const SILENCE_MS = 20_000;

/** @type {import("./tus-upload.js").Send} */
export function sendRequest({ method, url, headers, body, signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
    };
    const failed = () => reject(new Error("no answer"));
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded }) => {
      heard();
      progress?.(loaded);
    });
    request.addEventListener("load", () => resolve({ status: request.status, header: (name) => request.getResponseHeader(name) }));
    for (const type of ["error", "abort"]) request.addEventListener(type, failed);
    request.addEventListener("loadend", () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    });
    signal.addEventListener("abort", abort);
    if (signal.aborted) failed();
    else {
      heard();
      request.send(body ?? null);
    }
  });
}
