import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { devices } from "./devices-double.mjs";
import { standIn } from "./dom-double.mjs";

const memory = new Map();
globalThis.localStorage = { getItem: (key) => memory.get(key) ?? null, setItem: (key, value) => memory.set(key, value) };
const { Call } = await import("../../web/js/call.js");
const { Store } = await import("../../web/js/state.js");
const { choices } = await import("../../web/js/preferences.js");
const { Settings } = await import("../../web/components/settings/settings.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => memory.clear());

/** The settings of who has a camera, which is able to blur (or not, or only always). */
async function settings(blurs) {
  devices.reset(["videoinput", "webcam"]);
  devices.present[0].blurs = blurs;
  const store = new Store({ phase: "call", choices: choices() });
  const call = new Call({ store, url: "wss://host/r/room/ws", relay: {} });
  const view = standIn(call, new Settings());
  const input = view.querySelector('[data-choice="blur"]');
  return {
    call,
    shown: () => !input.parent.hidden,
    explained: () => !view.querySelectorAll(".hint").find(({ dataset }) => dataset.text === "settings.no-blur").hidden,
    on: () => input.checked,
    async press() {
      input.checked = !input.checked;
      input.dispatchEvent(new Event("change"));
      await settled();
    },
    blurred: () => call.media.track("camera").getSettings().backgroundBlur ?? false,
  };
}

test("the switch blurs the background, is remembered, and holds for the next camera", async () => {
  const { call, shown, on, press, blurred } = await settings([false, true]);
  assert.equal(shown(), false);
  await call.capture.start("camera");
  assert.deepEqual([shown(), on(), blurred()], [true, false, false]);
  await press();
  assert.deepEqual([on(), blurred(), choices().blur], [true, true, true]);
  call.capture.stopCamera();
  await call.capture.start("camera");
  assert.deepEqual([on(), blurred()], [true, true]);
  await press();
  assert.deepEqual([on(), blurred(), choices().blur], [false, false, false]);
  const later = await settings([false, true]);
  await later.call.capture.start("camera");
  assert.deepEqual([later.on(), later.blurred()], [false, false]);
});

test("the choice of the last visit holds", async () => {
  memory.set("turnd", JSON.stringify({ blur: true }));
  const { call, on, blurred } = await settings([false, true]);
  await call.capture.start("camera");
  assert.deepEqual([on(), blurred()], [true, true]);
});

test("the switch follows that of the system", async () => {
  const { call, on } = await settings([false, true]);
  await call.capture.start("camera");
  await settled();
  const track = call.media.track("camera");
  await track.applyConstraints({ backgroundBlur: true });
  track.dispatchEvent(new Event("configurationchange"));
  await settled();
  assert.equal(on(), true);
});

test("a camera that cannot be switched has no switch, and a word about it", async () => {
  for (const blurs of [undefined, [true]]) {
    const { call, shown, explained } = await settings(blurs);
    assert.deepEqual([shown(), explained()], [false, false]);
    await call.capture.start("camera");
    assert.deepEqual([shown(), explained()], [false, true]);
  }
});
