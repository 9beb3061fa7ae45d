import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { devices, permissions } from "./devices-double.mjs";

const { LocalMedia } = await import("../../web/js/local-media.js");
const { Capture } = await import("../../web/js/capture.js");
const { Store } = await import("../../web/js/state.js");

const settled = () => new Promise((resolve) => setImmediate(resolve));
let media, store, capture, notices;

beforeEach(async () => {
  devices.reset(["audioinput", "built-in"], ["audioinput", "headset"], ["videoinput", "webcam"]);
  media = new LocalMedia();
  store = new Store({ phase: "call" });
  notices = [];
  capture = new Capture(media, store, { notify: (key) => notices.push(key), tell: () => {} });
  media.choice = { microphone: "headset", camera: "" };
  await capture.startBoth();
  await settled();
});

const microphone = () => media.track("microphone");

test("a muted microphone that is unplugged is replaced by a muted one, and comes back muted", async () => {
  capture.mute();
  devices.unplug("headset");
  await settled();
  assert.equal(microphone().device.deviceId, "built-in");
  assert.equal(microphone().enabled, false);
  devices.plug("audioinput", "headset");
  await settled();
  assert.equal(microphone().device.deviceId, "headset");
  assert.equal(microphone().enabled, false);
  assert.deepEqual(notices, ["notice.microphone-replaced", "notice.microphone-back"]);
});

test("the only camera comes back when it is plugged in again, unless it was turned off meanwhile", async () => {
  devices.unplug("webcam");
  await settled();
  assert.equal(store.state.camera, "off");
  assert.deepEqual(store.state.problem, { what: "camera", reason: "unplugged" });
  devices.plug("videoinput", "webcam");
  await settled();
  assert.equal(store.state.camera, "on");
  assert.equal(store.state.problem, null);
  devices.unplug("webcam");
  await settled();
  capture.stopCamera();
  devices.plug("videoinput", "webcam");
  await settled();
  assert.equal(store.state.camera, "off");
});

test("a host's mute holds although the microphone is gone just then", async () => {
  devices.unplug("built-in");
  devices.unplug("headset");
  await settled();
  capture.mute();
  devices.plug("audioinput", "built-in");
  await settled();
  assert.equal(microphone().enabled, false);
});

test("what was refused starts by itself once it is allowed", async () => {
  capture.stopAll();
  devices.error = "NotAllowedError";
  await capture.startBoth();
  assert.deepEqual(store.state.problem, { what: "both", reason: "NotAllowedError" });
  devices.error = null;
  for (const status of Object.values(permissions)) {
    status.state = "granted";
    status.dispatchEvent(new Event("change"));
  }
  await settled();
  assert.equal(store.state.microphone, "on");
  assert.equal(store.state.camera, "on");
  assert.equal(store.state.problem, null);
});

test("nothing starts by being allowed that nobody asked for", async () => {
  capture.stopAll();
  permissions.camera.state = "granted";
  permissions.camera.dispatchEvent(new Event("change"));
  await settled();
  assert.equal(store.state.camera, "off");
});

test("another microphone during the call is as muted as the one before", async () => {
  capture.mute();
  await capture.chooseDevice("microphone", "built-in");
  assert.equal(microphone().device.deviceId, "built-in");
  assert.equal(microphone().enabled, false);
});

test("what a browser does not change on a running microphone is had by opening it anew, with no copy of it left", async () => {
  capture.mute();
  const before = microphone();
  const copy = media.copyOfMicrophone();
  assert.equal(copy.enabled, true);
  await capture.process({ noiseSuppression: false });
  assert.notEqual(microphone(), before);
  assert.equal(copy.readyState, "ended");
  assert.equal(microphone().getSettings().noiseSuppression, false);
  assert.equal(microphone().enabled, false);
});

test("talking by a key is heard while it is held, and stops when it is let go before the microphone has started", async () => {
  capture.mute();
  await capture.talk(true);
  assert.equal(microphone().enabled, true);
  await capture.talk(false);
  assert.equal(microphone().enabled, false);
  media.stop("microphone");
  const starting = capture.talk(true);
  await capture.talk(false);
  await starting;
  assert.equal(microphone().enabled, false);
});

test("the background is blurred where the browser can, and a blur of the system is not touched", async () => {
  assert.equal(media.blur, null);
  devices.present.find(({ deviceId }) => deviceId === "webcam").blurs = [false, true];
  await capture.start("camera");
  media.track("camera").settings.backgroundBlur = true;
  assert.equal(media.blur, true);
  await capture.process({ blur: false });
  assert.equal(media.blur, false);
  await capture.process({ blur: true });
  await capture.start("camera");
  assert.equal(media.blur, true);
  devices.present.find(({ deviceId }) => deviceId === "webcam").blurs = [true];
  assert.equal(media.blur, null);
});
