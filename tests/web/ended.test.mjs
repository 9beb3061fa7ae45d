import assert from "node:assert/strict";
import { test } from "node:test";
import "./devices-double.mjs";
import { standIn } from "./dom-double.mjs";

const { Call } = await import("../../web/js/call.js");
const { Store } = await import("../../web/js/state.js");
await import("../../web/components/ended/ended.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));
const ADA = { id: "ada", name: "Ada", role: "speaker", microphone: false, camera: false, screen: false };

/** What is read by who leaves a room where it stands like that. */
async function left(state) {
  const store = new Store({ phase: "call", ...state });
  const call = new Call({ store, url: "wss://host/r/room/ws", relay: {} });
  call.leave();
  const view = standIn(call, document.createElement("turnd-ended"));
  await settled();
  return view.querySelector(".hint").dataset.text;
}

test("who leaves others behind is told that the room stays open, who was alone that it has closed", async () => {
  assert.equal(await left({ participants: [ADA] }), "ended.left.text");
  assert.equal(await left({ participants: [] }), "ended.left.alone");
});

test("who only watches is not alone beside others who watch, nor with somebody on the stage", async () => {
  const viewer = { broadcast: true, role: "viewer" };
  assert.equal(await left({ ...viewer, audience: 2 }), "ended.left.text");
  assert.equal(await left({ ...viewer, audience: 1, participants: [ADA] }), "ended.left.text");
  assert.equal(await left({ ...viewer, audience: 1 }), "ended.left.alone");
});

test("a host of a webinar leaves its audience behind", async () => {
  assert.equal(await left({ broadcast: true, audience: 3 }), "ended.left.text");
});
