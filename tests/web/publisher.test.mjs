import assert from "node:assert/strict";
import { test } from "node:test";
import { Publisher } from "../../web/js/publisher.js";
import { Relays } from "../../web/js/ice-servers.js";
import { JOINED, makeClient } from "./doubles.mjs";

/** A browser's connection, as far as an offer: it numbers its offers and knows what it was given. */
class MemoryConnection extends EventTarget {
  /** @type {MemoryConnection[]} */
  static made = [];
  iceConnectionState = "new";
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  transceivers = [];
  closed = false;
  offers = 0;

  constructor() {
    super();
    MemoryConnection.made.push(this);
  }

  addTransceiver(track, { sendEncodings }) {
    const sender = { track, getParameters: () => ({ encodings: sendEncodings }), setParameters: async () => {}, replaceTrack: async (next) => (sender.track = next) };
    const transceiver = { mid: null, sender };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  async createOffer() {
    this.offers += 1;
    return { type: "offer", sdp: `offer ${this.offers} of ${MemoryConnection.made.indexOf(this)}` };
  }

  async setLocalDescription(description) {
    this.localDescription = description;
    for (const [index, transceiver] of this.transceivers.entries()) transceiver.mid = String(index);
  }

  async setRemoteDescription(description) {
    this.remoteDescription = description;
  }

  setConfiguration() {}

  close() {
    this.closed = true;
  }
}

globalThis.RTCPeerConnection = MemoryConnection;
globalThis.RTCRtpSender = { getCapabilities: () => null };

const settle = () => new Promise((resolve) => setImmediate(resolve));
const track = (kind) => ({ kind, contentHint: "", getSettings: () => ({ width: 1280, height: 720 }) });

/** Somebody who joins with a microphone and a camera that are on. */
async function makeJoining({ relay = { transport: null, port: null } } = {}) {
  const { client, socket, pass } = makeClient();
  const publisher = new Publisher(client, new Relays(relay), () => {});
  await publisher.setTrack("microphone", track("audio"));
  await publisher.setTrack("camera", track("video"));
  client.join({ name: "Ann" });
  socket().open();
  MemoryConnection.made = [];
  publisher.prepare();
  await settle();
  const joined = async ({ resumed = false, before = () => {} } = {}) => {
    client.on("joined", () => {
      before();
      publisher.joined(resumed);
    });
    socket().deliver({ ...JOINED, resumed });
    await settle();
    return socket().of("publish");
  };
  return { publisher, client, socket, pass, joined };
}

const live = () => MemoryConnection.made.filter(({ closed }) => !closed);

test("the offer made ahead is the one that is published, once", async () => {
  const { joined, publisher, socket } = await makeJoining();
  assert.equal(publisher.connection.localDescription.sdp, "offer 1 of 0");
  assert.deepEqual(socket().of("publish"), []);
  const [{ sdp, tracks, request }, ...more] = await joined();
  assert.equal(sdp, "offer 1 of 0");
  assert.deepEqual(tracks, [{ mid: "0", source: "microphone" }, { mid: "1", source: "camera" }]);
  assert.deepEqual(more, []);
  socket().deliver({ type: "published", request, sdp: "answer" });
  await settle();
  assert.equal(publisher.connection.remoteDescription.sdp, "answer");
});

test("a room of another codec is offered a connection that prefers it", async () => {
  const { joined, publisher } = await makeJoining();
  const published = await joined({ before: () => (publisher.codec = "av1") });
  assert.deepEqual(published.map(({ sdp }) => sdp), [`offer 1 of ${MemoryConnection.made.indexOf(live()[0])}`]);
  assert.ok(MemoryConnection.made[0].closed);
  assert.equal(live().length, 1);
});

test("who turns out to watch, and lets go of the devices, publishes nothing", async () => {
  const { joined, publisher } = await makeJoining();
  const published = await joined({
    before: () => {
      publisher.setTrack("microphone", null);
      publisher.setTrack("camera", null);
    },
  });
  assert.deepEqual(published, []);
  assert.deepEqual(live(), []);
});

test("a camera turned off at the door is not in the offer", async () => {
  const { joined, publisher } = await makeJoining();
  await publisher.setTrack("camera", null);
  const [{ tracks }, ...more] = await joined();
  assert.deepEqual(tracks, [{ mid: "0", source: "microphone" }]);
  assert.deepEqual(more, []);
});

test("an offer that waited long for a host is made anew, also for a seat that is known", async (context) => {
  for (const resumed of [false, true]) {
    let now = 0;
    context.mock.method(performance, "now", () => now);
    const { joined } = await makeJoining();
    now = 6000;
    const published = await joined({ resumed });
    assert.equal(published.length, 1);
    assert.ok(MemoryConnection.made[0].closed);
    assert.equal(live().length, 1);
    context.mock.restoreAll();
  }
});

test("who is relayed by wish waits for the relays", async () => {
  const { joined } = await makeJoining({ relay: { transport: "tls", port: null } });
  assert.deepEqual(MemoryConnection.made, []);
  assert.equal((await joined()).length, 1);
});

test("nothing is made ahead for who sends nothing", async () => {
  const { publisher, joined } = await makeJoining();
  await publisher.setTrack("microphone", null);
  await publisher.setTrack("camera", null);
  MemoryConnection.made = [];
  publisher.prepare();
  assert.deepEqual(MemoryConnection.made, []);
  assert.deepEqual(await joined(), []);
});
