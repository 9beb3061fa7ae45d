/** What browsers count of a connection, also of one that is closed meanwhile. */

const LOOK_MS = 200;

/**
 * The connection's statistics; null: it was closed before it answered. Chromium answers then too, Firefox never does.
 * @param {RTCPeerConnection} connection @returns {Promise<RTCStatsReport | null>}
 */
export async function statsOf(connection) {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  /** @type {Promise<null>} */
  const closed = new Promise((resolve) => {
    // No event tells of one's own close().
    timer = setInterval(() => connection.connectionState === "closed" && resolve(null), LOOK_MS);
  });
  try {
    return await Promise.race([connection.getStats(), closed]);
  } finally {
    clearInterval(timer);
  }
}
