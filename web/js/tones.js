/** Short quiet tones made by an oscillator: nothing is loaded for them. */

/** @typedef {[frequency_hz: number, at_s: number, length_s: number]} Note */

/** @type {Record<string, Note[]>} */
export const TONES = {
  joined: [[587, 0, 0.14], [784, 0.1, 0.22]],
  left: [[659, 0, 0.14], [494, 0.1, 0.22]],
  waiting: [[784, 0, 0.12], [784, 0.18, 0.12], [988, 0.36, 0.24]],
  hand: [[880, 0, 0.12], [1109, 0.09, 0.2]],
  chat: [[698, 0, 0.16]],
  test: [[523, 0, 0.3], [659, 0.22, 0.3], [784, 0.44, 0.3], [1047, 0.66, 0.6]],
};

const QUIET = 0.08;
const ATTACK_S = 0.015;

/** @param {AudioContext} context @param {AudioNode} output @param {Note[]} notes @param {number} volume @returns {number} how long it takes, in seconds */
function schedule(context, output, notes, volume) {
  const now = context.currentTime + 0.05;
  for (const [frequency, at, length] of notes) {
    const oscillator = new OscillatorNode(context, { type: "sine", frequency });
    const gain = new GainNode(context, { gain: 0 });
    gain.gain.setValueAtTime(0, now + at);
    gain.gain.linearRampToValueAtTime(volume, now + at + ATTACK_S);
    gain.gain.exponentialRampToValueAtTime(0.0001, now + at + length);
    oscillator.connect(gain).connect(output);
    oscillator.start(now + at);
    oscillator.stop(now + at + length);
  }
  return Math.max(...notes.map(([, at, length]) => at + length)) + 0.1;
}

/**
 * Plays these notes and resolves once they have been heard.
 * @param {Note[]} notes @param {{speaker?: string, volume?: number}} [how] `speaker` is a device id
 */
export async function playTones(notes, { speaker = "", volume = QUIET } = {}) {
  const context = new AudioContext();
  try {
    await context.resume();
    const output = await outputOf(context, speaker);
    const length_s = schedule(context, output.node, notes, volume);
    await new Promise((resolve) => setTimeout(resolve, length_s * 1000));
    output.element?.pause();
  } finally {
    context.close();
  }
}

/** @param {AudioContext & {setSinkId?(id: string): Promise<void>}} context @param {string} speaker @returns {Promise<{node: AudioNode, element?: HTMLAudioElement}>} */
async function outputOf(context, speaker) {
  if (!speaker) return { node: context.destination };
  if (context.setSinkId) {
    await context.setSinkId(speaker).catch(() => {});
    return { node: context.destination };
  }
  // Firefox chooses the output of an element only.
  const node = context.createMediaStreamDestination();
  const element = new Audio();
  element.srcObject = node.stream;
  await element.setSinkId?.(speaker).catch(() => {});
  await element.play();
  return { node, element };
}
