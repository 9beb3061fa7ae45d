/**
 * Keeps the parameters of one RTCRtpSender as they are wished. getParameters and setParameters are a transaction that another
 * call, a renegotiation or a new track spoils: so one at a time, read anew each time, and the latest wish wins.
 */

/** A refused transaction is tried again, a few times: what stays refused is not for this browser. */
const RETRIES = 5;
const RETRY_MS = 100;

export class SenderTuning {
  #wanted = false;
  #busy = false;

  /**
   * @param {RTCRtpSender} sender
   * @param {(parameters: RTCRtpSendParameters) => boolean} tune changes the parameters; says whether it did
   */
  constructor(sender, tune) {
    this.sender = sender;
    this.tune = tune;
  }

  /** What `tune` says has changed. Settles when it is so, or cannot be. */
  async apply() {
    this.#wanted = true;
    if (this.#busy) return;
    this.#busy = true;
    let refused = 0;
    while (this.#wanted && refused <= RETRIES) {
      this.#wanted = false;
      try {
        const parameters = this.sender.getParameters();
        if (this.tune(parameters)) await this.sender.setParameters(parameters);
        refused = 0;
      } catch {
        refused += 1;
        this.#wanted = true;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    this.#wanted = false;
    this.#busy = false;
  }
}
