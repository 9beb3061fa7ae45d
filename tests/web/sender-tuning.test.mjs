import assert from "node:assert/strict";
import { test } from "node:test";
import { SenderTuning } from "../../web/js/sender-tuning.js";

/** A sender as browsers have it: a transaction is good for one setParameters, which takes a while. */
class TransactionalSender {
  encodings = [{ active: true }];
  sets = 0;
  refusals = 0;
  #transaction = 0;

  getParameters() {
    this.#transaction += 1;
    return { transactionId: this.#transaction, encodings: structuredClone(this.encodings) };
  }

  async setParameters(parameters) {
    if (parameters.transactionId !== this.#transaction) throw new Error("InvalidModificationError");
    this.#transaction += 1;
    await new Promise((resolve) => setImmediate(resolve));
    if (this.refusals > 0) {
      this.refusals -= 1;
      throw new Error("InvalidStateError");
    }
    this.sets += 1;
    this.encodings = parameters.encodings;
  }
}

function makeTuning() {
  const sender = new TransactionalSender();
  const wish = { active: true };
  const tuning = new SenderTuning(sender, ({ encodings }) => {
    const changed = encodings[0].active !== wish.active;
    encodings[0].active = wish.active;
    return changed;
  });
  return { sender, wish, tuning };
}

test("a wish is carried out", async () => {
  const { sender, wish, tuning } = makeTuning();
  wish.active = false;
  await tuning.apply();
  assert.equal(sender.encodings[0].active, false);
});

test("what is so already sets nothing", async () => {
  const { sender, tuning } = makeTuning();
  await tuning.apply();
  assert.equal(sender.sets, 0);
});

test("of wishes that overlap the last one wins, one transaction at a time", async () => {
  const { sender, wish, tuning } = makeTuning();
  wish.active = false;
  const first = tuning.apply();
  wish.active = true;
  tuning.apply();
  wish.active = false;
  tuning.apply();
  await first;
  assert.equal(sender.encodings[0].active, false);
  wish.active = true;
  await tuning.apply();
  assert.equal(sender.encodings[0].active, true);
});

test("a refused transaction is tried again", async () => {
  const { sender, wish, tuning } = makeTuning();
  sender.refusals = 2;
  wish.active = false;
  await tuning.apply();
  assert.equal(sender.encodings[0].active, false);
});

test("what the browser goes on refusing is given up, and a later wish is tried", async () => {
  const { sender, wish, tuning } = makeTuning();
  sender.refusals = 100;
  wish.active = false;
  await tuning.apply();
  assert.equal(sender.encodings[0].active, true);
  sender.refusals = 0;
  await tuning.apply();
  assert.equal(sender.encodings[0].active, false);
});
