/** What this browser can encode and agree on: the room's codec first, VP8 after it, layers within one stream, lost sound again. */

/** @typedef {import("./protocol.js").VideoCodec} VideoCodec */

/** @param {RTCRtpTransceiver} transceiver @param {VideoCodec} codec of the room */
export function preferCodec(transceiver, codec) {
  const codecs = RTCRtpSender.getCapabilities?.("video")?.codecs;
  if (!codecs || !transceiver.setCodecPreferences) return;
  const of = (/** @type {string} */ name) => codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${name}`);
  // A codec that the browser has not falls back to what every browser sends in layers.
  const first = codec === "vp8" ? of("vp8") : [...of(codec), ...of("vp8")];
  try {
    transceiver.setCodecPreferences([...first, ...codecs.filter((each) => !first.includes(each))]);
  } catch {
    // The browser's own order has VP8 too.
  }
}

/** @param {VideoCodec} codec */
export function canEncode(codec) {
  const codecs = RTCRtpSender.getCapabilities?.("video")?.codecs ?? [];
  return codecs.some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
}

/** @type {Map<string, boolean>} */
const layering = new Map();

/** Whether the browser understands this scalability mode (W3C WebRTC-SVC); one that does not ignores or refuses it. @param {string} mode */
export function canLayer(mode) {
  const known = layering.get(mode) ?? tryMode(mode);
  layering.set(mode, known);
  return known;
}

/** @param {string} mode */
function tryMode(mode) {
  const connection = new RTCPeerConnection();
  try {
    const encoding = /** @type {RTCRtpEncodingParameters} */ ({ scalabilityMode: mode });
    const { sender } = connection.addTransceiver("video", { direction: "sendonly", sendEncodings: [encoding] });
    const [kept] = /** @type {{scalabilityMode?: string}[]} */ (sender.getParameters().encodings);
    return kept?.scalabilityMode === mode;
  } catch {
    return false;
  } finally {
    connection.close();
  }
}

/**
 * Sets our side of a negotiation; asks for lost sound to be sent again (RFC 4585 §6.2.1) where the browser lets it be agreed.
 *
 * @param {RTCPeerConnection} connection @param {RTCSessionDescriptionInit} description of createOffer or createAnswer
 */
export async function describe(connection, description) {
  const { type, sdp = "" } = description;
  try {
    await connection.setLocalDescription({ type, sdp: repeatSound(sdp) });
  } catch {
    await connection.setLocalDescription(description); // a browser that takes only its own words
  }
}

/** Browsers can ask for sound again, but do not offer it of themselves. @param {string} sdp */
export function repeatSound(sdp) {
  return sdp.replace(/^a=rtpmap:(\d+) opus\/.*\r\n/gim, (line, type) => {
    const nack = `a=rtcp-fb:${type} nack\r\n`;
    return sdp.includes(nack) ? line : line + nack;
  });
}
