/**
 * Which of the server's TURN relays a connection may use. Most people reach the server directly, and each relay URL costs it
 * one of few relay ports: so none at first, then the two most different ones, then all.
 *
 * The diagnostic `?relay=udp|tcp|tls` and `&port=` makes a call through one named way only, so that people behind a strange
 * network can find out which ways are open.
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

/** The fastest and the one that passes most firewalls: the server lists them in that order. @param {RTCIceServer} server */
function ends({ urls, ...server }) {
  const list = [urls].flat();
  return { ...server, urls: list.filter((_, index) => index === 0 || index === list.length - 1) };
}

/**
 * What RTCPeerConnection is given.
 * @param {RTCIceServer[]} servers @param {RelayChoice} choice
 * @param {number} level 0 no relay, 1 the two most different, 2 all @returns {RTCConfiguration}
 */
export function connectionConfiguration(servers, choice, level) {
  /** @type {RTCConfiguration} */
  const common = { bundlePolicy: "max-bundle", rtcpMuxPolicy: "require" };
  // The server learns our address from our checks: asking STUN for it would only cost time, and Firefox counts URLs.
  if (choice.transport === null) {
    const relays = keep(servers, (url) => /^turns?:/i.test(url));
    return { ...common, iceServers: [[], relays.map(ends), relays][level] };
  }
  return { ...common, iceServers: keep(servers, (url) => matches(url, choice)), iceTransportPolicy: "relay" };
}

/** The relays of one call: raised a level whenever a connection did not come about with those it had. */
export class Relays {
  static MOST = 2;
  /** @type {RTCIceServer[]} */
  servers = [];
  level = 0;

  /** @param {RelayChoice} choice */
  constructor(choice) {
    this.choice = choice;
  }

  /** Whether connections go the direct way alone. */
  get direct() {
    return this.level === 0 && this.choice.transport === null;
  }

  /** @returns {RTCConfiguration} */
  configuration() {
    return connectionConfiguration(this.servers, this.choice, this.level);
  }

  /** Raises the level unless somebody has since a connection was made at `seen`. @param {number} seen @returns {number} the level now */
  raise(seen) {
    if (seen === this.level) this.level = Math.min(this.level + 1, Relays.MOST);
    return this.level;
  }
}
