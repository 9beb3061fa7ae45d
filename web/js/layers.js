/**
 * The layers in which a camera or a screen is sent, and which of them are on: pure rules over RTCRtpEncodingParameters.
 *
 * A camera goes out as simulcast (three streams, two for a small capture) or, where codec and browser have it, as one stream with
 * spatial layers (W3C WebRTC-SVC). Layers that nobody watches are switched off; with all of them off nothing is sent.
 */

/** @typedef {import("./protocol.js").Source} Source */
/** @typedef {import("./protocol.js").WantedLayer} WantedLayer */
/** @typedef {RTCRtpEncodingParameters & {scalabilityMode?: string}} Encoding */

/**
 * What there is to send, and how.
 * @typedef {object} Capture
 * @property {Source} source
 * @property {number} longerSide of the picture, in pixels
 * @property {boolean} motion a shared screen shows moving pictures
 * @property {boolean} temporal the browser makes temporal layers when asked
 * @property {boolean} spatial it makes spatial layers of the room's codec within one stream
 */

/** A capture at least this long on its longer side is worth three layers. Chromium leaves the top of three silent below. */
const THREE_LAYERS_FROM = 960;
/** Of a quarter, half and whole 1280x720; four people at half of it take 3 x 350 kbit/s = 131 kB/s, and headers and voices. */
const LAYER_BITRATES = [120_000, 350_000, 1_200_000];
const SMALL_LAYER_BITRATES = [180_000, 600_000];
const SCREEN_BITRATE = 2_500_000;
/** Text stays readable at a few frames a second; a film does not. */
export const SCREEN_FRAMERATES = { text: 15, motion: 30 };

/**
 * What an encoder gives up that is short of bits or time (mst-content-hint, RTCDegradationPreference). A picture smaller than its
 * layer fills no tile, and the server, which knows layers by their size, would choose a larger one: frames go before pixels. But
 * for the whole picture sent alone, where no smaller layer takes over: of it a narrow uplink would let pass a frame in seconds.
 * @param {Encoding[]} encodings as they are to be, lowest layer first @param {Capture} capture
 */
export function degradationPreference(encodings, { source, motion, spatial }) {
  if (source === "screen") return motion ? "maintain-framerate" : "maintain-resolution";
  const sent = encodings.filter(({ active }) => active);
  const alone = sent.length === 1 && sent[0].scaleResolutionDownBy === 1 && !spatial;
  return alone ? "maintain-framerate" : "maintain-resolution";
}

/** How many layers a capture of this size is worth. @param {number} longerSide */
function layerCount(longerSide) {
  return longerSide >= THREE_LAYERS_FROM ? 3 : 2;
}

/** @param {number} count */
function bitrates(count) {
  return count === 3 ? LAYER_BITRATES : SMALL_LAYER_BITRATES;
}

/** @param {boolean} temporal @returns {Partial<Encoding>} */
function temporalLayers(temporal) {
  return temporal ? { scalabilityMode: "L1T3" } : {};
}

/** What a new transceiver is made with; everything is on until we are told that nobody watches. @param {Capture} capture @returns {Encoding[]} */
export function encodingsFor(capture) {
  if (capture.source !== "camera" && capture.source !== "screen") return [{ priority: "high", networkPriority: "high" }];
  const count = layerCount(capture.longerSide);
  const rids = count === 3 ? ["q", "h", "f"] : ["h", "f"];
  /** @type {Encoding[]} */
  const encodings = capture.source === "screen" || capture.spatial ? [{}] : rids.map((rid) => ({ rid }));
  tune(encodings, capture, null);
  return encodings;
}

/**
 * Makes encodings as they should be; says whether anything changed.
 * @param {Encoding[]} encodings lowest layer first @param {Capture} capture
 * @param {WantedLayer[] | null} wanted the layers somebody watches; null: all
 */
export function tune(encodings, capture, wanted) {
  const single = encodings.length === 1;
  return encodings
    .map((encoding, index) => {
      /** @type {{active: boolean, spatial?: number}} */
      const wish = wanted?.find(({ rid }) => single || rid === encoding.rid) ?? { active: true };
      if (capture.source === "screen") return assign(encoding, { active: wish.active, ...screen(capture) });
      if (single) return assign(encoding, { active: wish.active, ...svc(capture, wish.spatial) });
      return assign(encoding, simulcast(encodings.length, index, capture, wish.active));
    })
    .some(Boolean);
}

/** @param {Capture} capture @returns {Partial<Encoding>} */
function screen({ motion, temporal }) {
  return { maxBitrate: SCREEN_BITRATE, maxFramerate: SCREEN_FRAMERATES[motion ? "motion" : "text"], ...temporalLayers(temporal) };
}

/** @param {number} made how many streams there are @param {number} index @param {Capture} capture @param {boolean} wanted @returns {Partial<Encoding>} */
function simulcast(made, index, { longerSide, temporal }, wanted) {
  // Another camera may capture smaller: three layers of it would leave the best one unsent.
  const count = Math.min(made, layerCount(longerSide));
  const level = Math.min(index, count - 1);
  return {
    active: wanted && index < count,
    scaleResolutionDownBy: 2 ** (count - 1 - level),
    maxBitrate: bitrates(count)[level],
    ...temporalLayers(temporal),
  };
}

/** One stream of a camera: in spatial layers, or whole. @param {Capture} capture @param {number} [highest] spatial layer wanted @returns {Partial<Encoding>} */
function svc({ longerSide, spatial, temporal }, highest = Infinity) {
  const count = layerCount(longerSide);
  if (!spatial) return { maxBitrate: bitrates(count)[count - 1], scaleResolutionDownBy: 1, ...temporalLayers(temporal) };
  // The picture is made smaller by as many halves as layers go, so that those that stay keep their size.
  const kept = Math.min(count, highest + 1);
  return {
    scalabilityMode: kept === 1 ? "L1T3" : `L${kept}T3_KEY`,
    scaleResolutionDownBy: 2 ** (count - kept),
    maxBitrate: bitrates(count)[kept - 1],
  };
}

/** @param {Encoding} encoding @param {Partial<Encoding>} values @returns {boolean} whether anything differed */
function assign(encoding, values) {
  const entries = Object.entries(values);
  const differs = entries.some(([key, value]) => encoding[/** @type {keyof Encoding} */ (key)] !== value);
  Object.assign(encoding, values);
  return differs;
}
