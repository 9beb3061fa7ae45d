/** Camera and microphone by themselves: asked for only when told to, and let go of at the end. */

import { captureReason } from "../local-media.js";

/** @typedef {import("./finding.js").Finding} Finding */

const LISTEN_MS = 6000;
const LOOK_MS = 50;
const FIRST_FRAME_MS = 5000;
/** Of full scale: what a quiet room makes lies below, whoever speaks above. */
const HEARD = 0.02;
/** Of 255: a covered lens. */
const DARK = 12;

/** @param {number} ms */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** @param {"camera" | "microphone"} what @returns {Promise<MediaStreamTrack>} */
async function open(what) {
  if (!navigator.mediaDevices) throw Object.assign(new Error("no media devices here"), { name: "insecure" });
  const stream = await navigator.mediaDevices.getUserMedia(what === "camera" ? { video: { width: { ideal: 1280 } } } : { audio: true });
  return stream.getTracks()[0];
}

/** @param {unknown} error @returns {Finding} */
function refused(error) {
  const reason = captureReason(error);
  const known = { NotAllowedError: "refused", NotFoundError: "missing", NotReadableError: "taken", insecure: "insecure" };
  return { outcome: "bad", reason, key: `diag.device.${known[/** @type {keyof typeof known} */ (reason)] ?? "other"}` };
}

/** @param {HTMLVideoElement} video @returns {number} how bright the brightest of it is, 0 to 255 */
function brightness(video) {
  const context = Object.assign(document.createElement("canvas"), { width: 16, height: 9 }).getContext("2d");
  if (!context) return 255;
  context.drawImage(video, 0, 0, 16, 9);
  return context.getImageData(0, 0, 16, 9).data.reduce((most, value, index) => (index % 4 === 3 ? most : Math.max(most, value)), 0);
}

/** @param {HTMLVideoElement} video where it is shown @returns {Promise<Finding>} */
export async function testCamera(video) {
  /** @type {MediaStreamTrack | undefined} */
  let track;
  try {
    track = await open("camera");
    video.srcObject = new MediaStream([track]);
    const deadline = performance.now() + FIRST_FRAME_MS;
    // A lens needs a moment to adapt to the light.
    while (!(video.videoWidth && brightness(video) > DARK) && performance.now() < deadline) await pause(LOOK_MS);
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return { outcome: "bad", reason: "no picture", key: "diag.device.other" };
    if (brightness(video) <= DARK) return { outcome: "poor", key: "diag.camera.dark" };
    return { outcome: "good", key: "diag.camera.size", values: { width, height } };
  } catch (error) {
    return refused(error);
  } finally {
    // Long enough to see oneself.
    setTimeout(() => {
      track?.stop();
      video.srcObject = null;
    }, LISTEN_MS);
  }
}

/** Listens until somebody speaks, or long enough. @param {(level: number) => void} show 0 to 1 @returns {Promise<Finding>} */
export async function testMicrophone(show) {
  /** @type {MediaStreamTrack | undefined} */
  let track;
  /** @type {AudioContext | undefined} */
  let context;
  try {
    track = await open("microphone");
    context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const started = performance.now();
    let loudest = 0;
    while (performance.now() - started < LISTEN_MS) {
      await pause(LOOK_MS);
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      loudest = Math.max(loudest, peak);
      show(Math.min(1, Math.sqrt(peak)));
    }
    return loudest > HEARD ? { outcome: "good", key: "diag.microphone.heard" } : { outcome: "poor", key: "diag.microphone.silent" };
  } catch (error) {
    return refused(error);
  } finally {
    show(0);
    track?.stop();
    context?.close();
  }
}
