import assert from "node:assert/strict";
import { test } from "node:test";
import { SCREEN_FRAMERATES, degradationPreference, encodingsFor, tune } from "../../web/js/layers.js";

const LARGE = { source: "camera", longerSide: 1280, motion: false, temporal: true, spatial: false };
const SMALL = { ...LARGE, longerSide: 640 };
const SVC = { ...LARGE, spatial: true };
const SCREEN = { ...LARGE, source: "screen", longerSide: 1920 };
const on = (encodings) => encodings.map(({ active }) => active);
const scales = (encodings) => encodings.map(({ scaleResolutionDownBy }) => scaleResolutionDownBy);
const wanted = (...active) => ["q", "h", "f"].map((rid, index) => ({ rid, active: active[index] }));

test("a large camera goes out in three layers, all on, with temporal layers", () => {
  const encodings = encodingsFor(LARGE);
  assert.deepEqual(encodings.map(({ rid }) => rid), ["q", "h", "f"]);
  assert.deepEqual(scales(encodings), [4, 2, 1]);
  assert.deepEqual(on(encodings), [true, true, true]);
  assert.ok(encodings.every(({ scalabilityMode }) => scalabilityMode === "L1T3"));
});

test("a small camera goes out in two", () => {
  const encodings = encodingsFor(SMALL);
  assert.deepEqual(encodings.map(({ rid }) => rid), ["h", "f"]);
  assert.deepEqual(scales(encodings), [2, 1]);
});

test("a browser without scalability modes is asked for none", () => {
  assert.ok(encodingsFor({ ...LARGE, temporal: false }).every((encoding) => !("scalabilityMode" in encoding)));
});

test("sound has priority and no layers", () => {
  assert.deepEqual(encodingsFor({ ...LARGE, source: "microphone" }), [{ priority: "high", networkPriority: "high" }]);
});

test("what nobody watches is off, and on again", () => {
  const encodings = encodingsFor(LARGE);
  assert.equal(tune(encodings, LARGE, wanted(true, false, false)), true);
  assert.deepEqual(on(encodings), [true, false, false]);
  assert.equal(tune(encodings, LARGE, wanted(false, false, false)), true);
  assert.deepEqual(on(encodings), [false, false, false]);
  assert.equal(tune(encodings, LARGE, wanted(true, true, true)), true);
  assert.deepEqual(on(encodings), [true, true, true]);
});

test("nothing changes twice", () => {
  const encodings = encodingsFor(LARGE);
  assert.equal(tune(encodings, LARGE, null), false);
  tune(encodings, LARGE, wanted(false, true, false));
  assert.equal(tune(encodings, LARGE, wanted(false, true, false)), false);
});

test("a layer that the server does not speak of stays on", () => {
  const encodings = encodingsFor(LARGE);
  tune(encodings, LARGE, [{ rid: "q", active: false }]);
  assert.deepEqual(on(encodings), [false, true, true]);
});

test("a smaller camera on the same connection leaves the third layer off, whatever is wanted", () => {
  const encodings = encodingsFor(LARGE);
  tune(encodings, SMALL, wanted(true, true, true));
  assert.deepEqual(scales(encodings), [2, 1, 1]);
  assert.deepEqual(on(encodings), [true, true, false]);
  tune(encodings, LARGE, wanted(true, true, true));
  assert.deepEqual(scales(encodings), [4, 2, 1]);
  assert.deepEqual(on(encodings), [true, true, true]);
});

test("a larger camera on a connection of two layers keeps them", () => {
  const encodings = encodingsFor(SMALL);
  tune(encodings, LARGE, null);
  assert.deepEqual(scales(encodings), [2, 1]);
  assert.deepEqual(on(encodings), [true, true]);
});

test("layers within one stream: three of a large capture, two of a small one", () => {
  assert.deepEqual(encodingsFor(SVC).map(({ scalabilityMode }) => scalabilityMode), ["L3T3_KEY"]);
  assert.deepEqual(encodingsFor({ ...SVC, longerSide: 640 }).map(({ scalabilityMode }) => scalabilityMode), ["L2T3_KEY"]);
});

for (const [spatial, mode, scale] of [[0, "L1T3", 4], [1, "L2T3_KEY", 2], [2, "L3T3_KEY", 1], [3, "L3T3_KEY", 1]]) {
  test(`spatial layers up to ${spatial} are ${mode} of a picture ${scale} times smaller`, () => {
    const encodings = encodingsFor(SVC);
    tune(encodings, SVC, [{ rid: "", active: true, spatial }]);
    assert.deepEqual([encodings[0].scalabilityMode, encodings[0].scaleResolutionDownBy], [mode, scale]);
  });
}

test("fewer layers take fewer bits", () => {
  const rates = [0, 1, 2].map((spatial) => {
    const encodings = encodingsFor(SVC);
    tune(encodings, SVC, [{ rid: "", active: true, spatial }]);
    return encodings[0].maxBitrate;
  });
  assert.deepEqual(rates, encodingsFor(LARGE).map(({ maxBitrate }) => maxBitrate));
});

test("a single stream that nobody watches is off", () => {
  for (const capture of [SVC, SCREEN]) {
    const encodings = encodingsFor(capture);
    tune(encodings, capture, [{ rid: "", active: false }]);
    assert.deepEqual(on(encodings), [false]);
  }
});

test("a screen goes out whole: few frames of text, more of a film", () => {
  const [text] = encodingsFor(SCREEN);
  const [motion] = encodingsFor({ ...SCREEN, motion: true });
  assert.equal(text.maxFramerate, SCREEN_FRAMERATES.text);
  assert.equal(motion.maxFramerate, SCREEN_FRAMERATES.motion);
  assert.equal("scaleResolutionDownBy" in text, false);
});

const preference = (capture, ...active) => {
  const encodings = encodingsFor(capture);
  tune(encodings, capture, encodings.map(({ rid }, index) => ({ rid, active: active[index] })));
  return degradationPreference(encodings, capture);
};

test("a camera short of bits or time gives up frames before pixels", () => {
  for (const active of [[true, true, true], [false, true, false], [true, false, false], [false, true, true], [false, false, false]])
    assert.equal(preference(LARGE, ...active), "maintain-resolution", active);
  assert.equal(preference(SMALL, true, false), "maintain-resolution");
  assert.equal(preference(SVC, true), "maintain-resolution");
});

test("the whole picture sent alone shrinks where the uplink is narrow", () => {
  assert.equal(preference(LARGE, false, false, true), "maintain-framerate");
  assert.equal(preference(SMALL, false, true), "maintain-framerate");
});

test("a screen gives up frames when it is read, pixels when it is a film", () => {
  assert.equal(preference(SCREEN, true), "maintain-resolution");
  assert.equal(preference({ ...SCREEN, motion: true }, true), "maintain-framerate");
});
