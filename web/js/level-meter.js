/** How loud a track is, some fifteen times a second while the page is seen: 0 silent, 1 as loud as it gets. */

const INTERVAL_MS = 66;
const SAMPLES = 512;

export class LevelMeter {
  #context = new AudioContext();
  #samples = new Uint8Array(SAMPLES);

  /** @param {MediaStreamTrack} track @param {(level: number) => void} hear @param {number} [interval_ms] */
  constructor(track, hear, interval_ms = INTERVAL_MS) {
    this.track = track;
    const analyser = this.#context.createAnalyser();
    analyser.fftSize = SAMPLES;
    this.#context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    this.#context.resume().catch(() => {});
    this.timer = setInterval(() => {
      if (!document.hidden) hear(this.#peak(analyser));
    }, interval_ms);
  }

  stop() {
    clearInterval(this.timer);
    this.#context.close();
  }

  /** @param {AnalyserNode} analyser */
  #peak(analyser) {
    analyser.getByteTimeDomainData(this.#samples);
    let highest = 0;
    for (const sample of this.#samples) highest = Math.max(highest, Math.abs(sample - 128));
    return Math.min(1, highest / 127);
  }
}
