/** The voices: one audio element for each sound that reaches us. Nothing to see; says when the browser refuses to play. */

import { View } from "../../js/view.js";
import { make } from "../../js/dom.js";

/** @typedef {import("../../js/state.js").State} State */

/** The one chosen, as long as it is plugged in; otherwise the system's. @param {State} state */
function chosenSpeaker({ speakerDevice, devices }) {
  const speakers = devices.filter(({ kind }) => kind === "audiooutput");
  return speakers.length === 0 || speakers.some(({ deviceId }) => deviceId === speakerDevice) ? speakerDevice : "";
}

export class Sound extends View {
  /** @type {Map<string, HTMLAudioElement>} */
  #elements = new Map();
  #speaker = "";

  /** @override */
  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#resume);
  }

  /** @override */
  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#resume);
  }

  /** @override @param {State} state */
  update(state) {
    const { subscriber } = this.call;
    const heard = new Set();
    for (const { participant, source } of subscriber.slots) {
      if (source !== "microphone" && source !== "screen-audio") continue;
      const track = subscriber.track(participant, source);
      if (!track) continue;
      const key = `${participant}/${source}`;
      heard.add(key);
      this.#play(key, participant, source, track);
    }
    for (const [key, element] of this.#elements) {
      if (heard.has(key)) continue;
      element.srcObject = null;
      element.remove();
      this.#elements.delete(key);
    }
    this.#useSpeaker(chosenSpeaker(state));
  }

  /** Plays everything; to be called from a press when the browser wants one. */
  async play() {
    const { store } = this.call;
    const results = await Promise.allSettled([...this.#elements.values()].map((element) => element.play()));
    const blocked = results.some((result) => result.status === "rejected" && result.reason?.name === "NotAllowedError");
    if (blocked !== store.state.soundBlocked) store.set({ soundBlocked: blocked });
  }

  #resume = () => {
    if (!document.hidden) this.play();
  };

  /** @param {string} key @param {string} participant @param {string} source @param {MediaStreamTrack} track */
  #play(key, participant, source, track) {
    let element = this.#elements.get(key);
    if (!element) {
      element = make("audio", { autoplay: true, data: { participant, source } });
      this.#elements.set(key, element);
      this.append(element);
      this.#speaker = "";
    }
    const stream = /** @type {MediaStream | null} */ (element.srcObject);
    if (stream?.getAudioTracks()[0] === track) return;
    element.srcObject = new MediaStream([track]);
    element.play().catch((error) => {
      if (error.name === "NotAllowedError") this.call.store.set({ soundBlocked: true });
    });
  }

  /** @param {string} device */
  #useSpeaker(device) {
    if (device === this.#speaker) return;
    this.#speaker = device;
    for (const element of this.#elements.values()) element.setSinkId?.(device).catch(() => {});
  }
}

customElements.define("turnd-sound", Sound);
