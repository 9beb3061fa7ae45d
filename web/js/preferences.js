/** What is remembered between visits, in this browser only. Storage may be refused; then nothing is remembered. */

/**
 * @typedef {object} Preferences
 * @property {string} name
 * @property {string} language empty: the browser's
 * @property {string} theme `light`, `dark`, or empty: the system's
 * @property {boolean} asked whether camera or microphone were ever turned on here
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {string} microphoneDevice
 * @property {string} cameraDevice
 * @property {string} speakerDevice
 */

const KEY = "turnd";

/** @type {Preferences} */
const DEFAULTS = {
  name: "",
  language: "",
  theme: "",
  asked: false,
  microphone: true,
  camera: true,
  microphoneDevice: "",
  cameraDevice: "",
  speakerDevice: "",
};

/** @returns {Preferences} */
export function preferences() {
  const result = { ...DEFAULTS };
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    for (const key of /** @type {(keyof Preferences)[]} */ (Object.keys(DEFAULTS))) {
      if (typeof stored[key] === typeof DEFAULTS[key]) Object.assign(result, { [key]: stored[key] });
    }
  } catch {
    // Nothing remembered, or not ours.
  }
  return result;
}

/** @param {Partial<Preferences>} change */
export function remember(change) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...preferences(), ...change }));
  } catch {
    // Private windows may refuse.
  }
}
