/** What others see while a sound is played to them: its name and how far it is. Drawn now and then, so that who comes later gets it. */

const SIZE = { width: 1280, height: 720 };
const DRAWN_EVERY_MS = 500;
const FRAMES_PER_SECOND = 2;
const MARGIN = 120;

export class SoundCard {
  #canvas = Object.assign(document.createElement("canvas"), SIZE);
  /** @type {ReturnType<typeof setInterval>} */
  #timer;

  /** @param {string} name @param {HTMLMediaElement} element that plays it */
  constructor(name, element) {
    this.name = name;
    this.element = element;
    this.#draw();
    this.stream = this.#canvas.captureStream(FRAMES_PER_SECOND);
    this.#timer = setInterval(() => this.#draw(), DRAWN_EVERY_MS);
  }

  close() {
    clearInterval(this.#timer);
  }

  #draw() {
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    const { width, height } = SIZE;
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ variable) => style.getPropertyValue(variable);
    context.fillStyle = colour("--note");
    context.fillRect(0, 0, width, height);
    context.fillStyle = colour("--note-ink");
    context.textAlign = "center";
    context.font = "96px system-ui, sans-serif";
    context.fillText("♪", width / 2, height / 2 - 110);
    context.font = "600 52px system-ui, sans-serif";
    context.fillText(this.name, width / 2, height / 2 + 10, width - 2 * MARGIN);
    this.#drawProgress(context, colour("--line-strong"), colour("--accent"));
  }

  /** @param {CanvasRenderingContext2D} context @param {string} ground @param {string} done */
  #drawProgress(context, ground, done) {
    const { currentTime, duration } = this.element;
    const whole = SIZE.width - 2 * MARGIN;
    const part = Number.isFinite(duration) && duration > 0 ? currentTime / duration : 0;
    for (const [colour, width] of /** @type {const} */ ([[ground, whole], [done, whole * part]])) {
      context.fillStyle = colour;
      context.fillRect(MARGIN, SIZE.height / 2 + 90, width, 8);
    }
  }
}
