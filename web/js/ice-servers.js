/**
 * The diagnostic `?relay=udp|tcp|tls` and `&port=`: a call through one named way only, so that people behind a strange
 * network can find out which ways are open. Pure functions.
 */

/** @typedef {"udp" | "tcp" | "tls"} RelayTransport */
/** @typedef {{transport: RelayTransport | null, port: number | null}} RelayChoice */

const DEFAULT_PORTS = { turn: 3478, turns: 5349, stun: 3478, stuns: 5349 };

/** @param {URLSearchParams} query @returns {RelayChoice} */
export function relayChoice(query) {
  const relay = query.get("relay");
  const port = Number(query.get("port"));
  return {
    transport: relay === "udp" || relay === "tcp" || relay === "tls" ? relay : null,
    port: Number.isInteger(port) && port > 0 && port < 65536 ? port : null,
  };
}

/** @param {string} url of RFC 7065, `turn:host[:port][?transport=]` @returns {{scheme: string, port: number, transport: string} | null} */
export function parseIceUrl(url) {
  const match = /^(turns?|stuns?):(\[[^\]]+\]|[^:?]+)(?::(\d+))?(?:\?transport=(\w+))?$/i.exec(url);
  if (!match) return null;
  const scheme = /** @type {keyof typeof DEFAULT_PORTS} */ (match[1].toLowerCase());
  const transport = (match[4] ?? (scheme.endsWith("s") ? "tcp" : "udp")).toLowerCase();
  return { scheme, port: match[3] ? Number(match[3]) : DEFAULT_PORTS[scheme], transport };
}

/** @param {string} url @param {RelayChoice} choice */
function matches(url, { transport, port }) {
  const parsed = parseIceUrl(url);
  if (!parsed || !parsed.scheme.startsWith("turn")) return false;
  if (port !== null && parsed.port !== port) return false;
  if (transport === "tls") return parsed.scheme === "turns" && parsed.transport === "tcp";
  return parsed.scheme === "turn" && parsed.transport === transport;
}

/** @param {RTCIceServer[]} servers @param {(url: string) => boolean} wanted */
function keep(servers, wanted) {
  return servers
    .map((server) => ({ ...server, urls: [server.urls].flat().filter(wanted) }))
    .filter(({ urls }) => urls.length > 0);
}

/**
 * What RTCPeerConnection is given.
 * @param {RTCIceServer[]} servers @param {RelayChoice} choice @returns {RTCConfiguration}
 */
export function connectionConfiguration(servers, choice) {
  /** @type {RTCConfiguration} */
  const common = { bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" };
  // The server learns our address from our checks: asking STUN for it would only cost time, and Firefox counts URLs.
  if (choice.transport === null) return { ...common, iceServers: keep(servers, (url) => /^turns?:/i.test(url)) };
  return { ...common, iceServers: keep(servers, (url) => matches(url, choice)), iceTransportPolicy: "relay" };
}
