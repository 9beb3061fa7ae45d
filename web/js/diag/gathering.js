/** Whether the STUN and TURN server can be reached in one named way: it can if the browser gets a candidate from it. */

/** @typedef {import("./finding.js").Finding} Finding */

const PATIENCE_MS = 6000;
/** A browser that cannot reach the server says so (W3C WebRTC, RTCPeerConnectionIceErrorEvent: 701). */
const UNREACHABLE = 701;

/** @param {RTCIceServer} server @param {string} url the only one of the server's to be used @param {"srflx" | "relay"} type wanted */
function connectionFor(server, url, type) {
  const iceTransportPolicy = /** @type {RTCIceTransportPolicy} */ (type === "relay" ? "relay" : "all");
  const connection = new RTCPeerConnection({ iceServers: [{ ...server, urls: [url] }], iceTransportPolicy });
  connection.createDataChannel("diag");
  return connection;
}

/**
 * @param {RTCIceServer} server @param {string} url @param {"srflx" | "relay"} type
 * @returns {Promise<number | null>} milliseconds; null: not reached
 */
export async function gather(server, url, type) {
  const connection = connectionFor(server, url, type);
  const started = performance.now();
  let refused = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const reached = new Promise((/** @type {(reached: boolean) => void} */ done) => {
    timer = setTimeout(() => done(false), PATIENCE_MS);
    connection.addEventListener("icecandidateerror", ({ errorCode }) => {
      refused ||= errorCode >= 300 && errorCode <= UNREACHABLE;
    });
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.type === type) done(true);
      // Where our address is the one that STUN sees, browsers do not say it twice.
      else if (!candidate) done(type === "srflx" && !refused);
    });
  });
  try {
    await connection.setLocalDescription();
    return (await reached) ? Math.round(performance.now() - started) : null;
  } finally {
    clearTimeout(timer);
    connection.close();
  }
}

/**
 * One way, by whichever of its URLs works first.
 * @param {RTCIceServer[]} servers @param {(url: string) => boolean} wanted @param {"srflx" | "relay"} type @returns {Promise<Finding>}
 */
export async function reach(servers, wanted, type) {
  const urls = servers.flatMap((server) => [server.urls].flat().filter(wanted).map((url) => ({ server, url })));
  if (urls.length === 0) return { outcome: "none", key: "diag.not-offered" };
  const attempts = urls.map(async ({ server, url }) => {
    const ms = await gather(server, url, type);
    if (ms === null) throw new Error("not reached");
    return ms;
  });
  try {
    return { outcome: "good", key: "diag.answered", values: { ms: await Promise.any(attempts) } };
  } catch {
    return { outcome: "bad", key: "diag.unanswered" };
  }
}
