/** What is remembered between visits, in this browser only. Storage may be refused; then nothing is remembered. */

/**
 * @typedef {object} Preferences
 * @property {string} name
 * @property {string} language empty: the browser's
 * @property {string} theme `light`, `dark`, `contrast`, or empty: the system's
 * @property {boolean} asked whether camera or microphone were ever turned on here
 * @property {boolean} microphone
 * @property {boolean} camera
 * @property {string} microphoneDevice
 * @property {string} cameraDevice
 * @property {string} speakerDevice
 * @property {string} view `grid` or `speaker`
 * @property {string} selfView `grid`, `floating`, `hidden`, or empty: as suits the view
 * @property {string} selfCorner
 *
 * How somebody likes a call to be.
 * @typedef {object} Choices
 * @property {boolean} echoCancellation
 * @property {boolean} noiseSuppression
 * @property {boolean} autoGainControl
 * @property {boolean} blur the background, where the browser can
 * @property {boolean} pushToTalk
 * @property {boolean} shortcuts single keys do something
 * @property {boolean} sounds short ones, when somebody comes or goes
 * @property {boolean} mutedHint a word when we speak while muted
 */

const KEY = "turnd";

/** @type {Choices} */
export const DEFAULT_CHOICES = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
  blur: false,
  pushToTalk: false,
  shortcuts: true,
  sounds: true,
  mutedHint: true,
};

/** @type {Preferences & Choices} */
const DEFAULTS = {
  ...DEFAULT_CHOICES,
  name: "",
  language: "",
  theme: "",
  asked: false,
  microphone: true,
  camera: true,
  microphoneDevice: "",
  cameraDevice: "",
  speakerDevice: "",
  view: "grid",
  selfView: "",
  selfCorner: "bottom-end",
};

/** @returns {Preferences & Choices} */
export function preferences() {
  const result = { ...DEFAULTS };
  try {
    const stored = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    for (const key of /** @type {(keyof (Preferences & Choices))[]} */ (Object.keys(DEFAULTS))) {
      if (typeof stored[key] === typeof DEFAULTS[key]) Object.assign(result, { [key]: stored[key] });
    }
  } catch {
    // Nothing remembered, or not ours.
  }
  return result;
}

/** @returns {Choices} */
export function choices() {
  const all = preferences();
  const names = /** @type {(keyof Choices)[]} */ (Object.keys(DEFAULT_CHOICES));
  return /** @type {Choices} */ (Object.fromEntries(names.map((name) => [name, all[name]])));
}

/** @param {Partial<Preferences & Choices>} change */
export function remember(change) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...preferences(), ...change }));
  } catch {
    // Private windows may refuse.
  }
}
