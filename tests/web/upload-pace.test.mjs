import assert from "node:assert/strict";
import { test } from "node:test";
import { SLICE_BYTES, UploadPace, roundTripOf } from "../../web/js/upload-pace.js";

/** A line that takes so many bytes a second and queues the rest. Round trips of media are reported once a second, as RTCP does. */
class Line {
  now = 0;
  sent = 0;
  /** Seconds of queue, each 10 ms. */
  queues = [];
  #idleAt = 0;
  #reported = 0;
  /** Seconds by which a report is late because a machine is busy. */
  busy = () => 0;

  constructor(bytesPerSecond, base) {
    this.bytesPerSecond = bytesPerSecond;
    this.base = this.#reported = base;
    this.pace = new UploadPace(async () => this.#reported, () => this.now);
  }

  #pass(ms) {
    for (const end = this.now + ms; this.now < end; this.now += 10) {
      const queue = Math.max(0, this.#idleAt - this.now) / 1000;
      this.queues.push(queue);
      if (this.now % 1000 < 10) this.#reported = this.base + queue + this.busy();
    }
  }

  async run(seconds) {
    const end = this.now + seconds * 1000;
    while (this.now < end) {
      const bytes = await this.pace.next();
      this.#idleAt = this.now + (bytes / this.bytesPerSecond) * 1000;
      const took = this.#idleAt - this.now + this.base * 1000;
      this.#pass(took);
      this.#pass(this.pace.rest(bytes, took));
      this.sent += bytes;
    }
  }

  get meanQueue() {
    return this.queues.reduce((sum, each) => sum + each, 0) / this.queues.length;
  }
}

for (const [rate, base] of [[100_000, 0.03], [250_000, 0.005], [250_000, 0.12], [2_000_000, 0.02], [250_000, 0.6]]) {
  test(`on a line of ${rate / 1000} kB/s and ${base * 1000} ms media hardly waits, and files still go`, async () => {
    const line = new Line(rate, base);
    await line.run(60);
    const share = line.sent / 60 / rate;
    assert.ok(line.meanQueue < 0.1 + base, `${line.meanQueue} s of queue`);
    assert.ok(share > 0.25, `${share} of the line`);
  });
}

test("a fast line is used at once", async () => {
  const line = new Line(100_000_000, 0.001);
  await line.run(5);
  assert.ok(line.sent > 50_000_000, `${line.sent} bytes`);
});

test("without media of ours there is nothing to spare", async () => {
  const pace = new UploadPace(async () => null, () => 0);
  assert.equal(await pace.next(), SLICE_BYTES);
  assert.equal(pace.rest(SLICE_BYTES, 60_000), 0);
});

test("a network that is slower for good is not taken for a queue for ever", async () => {
  const line = new Line(500_000, 0.01);
  await line.run(20);
  line.base = 0.2;
  await line.run(200);
  const before = line.sent;
  await line.run(20);
  assert.ok(line.sent - before > 20 * 50_000, `${line.sent - before} bytes in 20 s`);
});

for (const [what, busy] of [["for good", () => 0.2], ["for five seconds at a time", (now) => 0.05 + 0.2 * (Math.floor(now / 5000) % 2)]]) {
  test(`a machine that is busy ${what} is not taken for a queue`, async () => {
    const line = new Line(10_000_000, 0.005);
    await line.run(3);
    line.busy = () => busy(line.now);
    await line.run(20);
    const before = line.sent;
    await line.run(20);
    assert.ok(line.sent - before > 20 * 500_000, `${line.sent - before} bytes in 20 s`);
  });
}

/** A connection whose streams report these round trips. */
function connection(...streams) {
  const stats = new Map();
  for (const [index, { roundTripTime, active }] of streams.entries()) {
    stats.set(`out${index}`, { type: "outbound-rtp", active });
    stats.set(`in${index}`, { type: "remote-inbound-rtp", localId: `out${index}`, roundTripTime });
  }
  return { connectionState: "connected", getStats: async () => stats };
}

test("what a round trip takes is told by the streams that send", async () => {
  const late = { roundTripTime: 0.224 };
  assert.equal(await roundTripOf(connection(late, { roundTripTime: 0.013, active: true }, {})), 0.013);
  assert.equal(await roundTripOf(connection(late, { roundTripTime: 0.002, active: false })), 0.224);
  assert.equal(await roundTripOf(connection({})), 0);
  assert.equal(await roundTripOf(connection()), null);
  assert.equal(await roundTripOf(null), null);
});
