import assert from "node:assert/strict";
import { test } from "node:test";
import { devices } from "./devices-double.mjs";
import { standIn } from "./dom-double.mjs";

const { Call } = await import("../../web/js/call.js");
const { Store } = await import("../../web/js/state.js");
const { Sound } = await import("../../web/components/sound/sound.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A call in which two others are heard through a headset. */
async function call() {
  devices.reset(["audioinput", "built-in"], ["audiooutput", "speakers"], ["audiooutput", "headset"]);
  const store = new Store({ phase: "call", speakerDevice: "headset" });
  const made = new Call({ store, url: "wss://host/r/room/ws", relay: {} });
  const voices = ["ada", "bob"].map((participant, index) => ({ participant, source: "microphone", mid: String(index) }));
  made.subscriber.connection = { getTransceivers: () => voices.map(({ mid }) => ({ mid, receiver: { track: { mid } } })) };
  made.subscriber.setSlots(voices);
  const sound = standIn(made, new Sound());
  made.media.dispatchEvent(new Event("devices"));
  await settled();
  return { call: made, store, speakers: () => sound.children.map(({ speaker }) => speaker) };
}

test("everybody is heard through the speaker that was chosen", async () => {
  const { call: made, speakers } = await call();
  assert.deepEqual(speakers(), ["headset", "headset"]);
  await made.capture.chooseDevice("speaker", "speakers");
  assert.deepEqual(speakers(), ["speakers", "speakers"]);
});

test("a speaker that is unplugged leaves the system's, and is heard through again when it is back", async () => {
  const { store, speakers } = await call();
  devices.unplug("headset");
  await settled();
  assert.deepEqual(speakers(), ["", ""]);
  assert.equal(store.state.speakerDevice, "headset");
  devices.plug("audiooutput", "headset");
  await settled();
  assert.deepEqual(speakers(), ["headset", "headset"]);
});

test("who comes later is heard through the same speaker", async () => {
  const { call: made, speakers } = await call();
  const { slots, connection } = made.subscriber;
  const more = [...slots, { participant: "eve", source: "microphone", mid: "2" }];
  connection.getTransceivers = () => more.map(({ mid }) => ({ mid, receiver: { track: { mid } } }));
  made.subscriber.setSlots(more);
  await settled();
  assert.deepEqual(speakers(), ["headset", "headset", "headset"]);
});
