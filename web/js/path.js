/** Which way a connection goes: straight to the server or through its relay, and over what. Read from getStats. */

/**
 * @typedef {"udp" | "tcp" | "tls"} Transport
 * @typedef {{relayed: boolean, transport: Transport, family: 0 | 4 | 6, rtt_ms: number}} Path `family` of the server's address, 0: not told
 */

/** @param {any} local candidate, as RTCStatsReport has it @returns {Transport} */
function transportOf(local) {
  const { relayProtocol, url = "", protocol } = local;
  if (relayProtocol === "tls" || relayProtocol === "tcp" || relayProtocol === "udp") return relayProtocol;
  // Firefox tells the relay's URL at most.
  if (url.startsWith("turns:")) return "tls";
  return /transport=tcp/.test(url) || protocol === "tcp" ? "tcp" : "udp";
}

/** @param {Map<string, any> | RTCStatsReport} report @returns {any} the pair that carries the media */
function selectedPair(report) {
  /** @type {any} */
  let pair;
  report.forEach((entry) => {
    if (entry.type === "transport" && entry.selectedCandidatePairId) pair = report.get(entry.selectedCandidatePairId);
  });
  report.forEach((entry) => {
    if (entry.type === "candidate-pair" && (entry.selected || (!pair && entry.nominated && entry.state === "succeeded"))) pair ??= entry;
  });
  return pair;
}

/** @param {Map<string, any> | RTCStatsReport} report of a connection @returns {Path | null} null while there is none */
export function pathOf(report) {
  const pair = selectedPair(report);
  const local = pair && report.get(pair.localCandidateId);
  if (!local) return null;
  const remote = report.get(pair.remoteCandidateId);
  const address = remote?.address ?? remote?.ip ?? "";
  return {
    relayed: local.candidateType === "relay",
    transport: transportOf(local),
    family: address === "" ? 0 : address.includes(":") ? 6 : 4,
    rtt_ms: Math.round((pair.currentRoundTripTime ?? 0) * 1000),
  };
}

/** @param {Path} path @returns {string} key of its words */
export function pathKey({ relayed, transport }) {
  return `path.${relayed ? "relay" : "direct"}.${transport}`;
}
