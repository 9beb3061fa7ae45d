import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_VIEW_TILES, ViewReport, viewChanged, viewTiles } from "../../web/js/view-report.js";
import { fakeTimers } from "./doubles.mjs";

const seen = (participant, width, height, pinned = false) => ({ participant, source: "camera", width, height, pinned });
const told = (participant, width, height) => ({ participant, source: "camera", width, height });

function makeReport() {
  const sent = [];
  const clock = { now: 0, joined: true };
  const timers = fakeTimers(() => clock.now);
  const report = new ViewReport((tiles) => clock.joined && sent.push(tiles) > 0, () => clock.now);
  const pass = (ms) => {
    clock.now += ms;
    timers.runUntil(clock.now);
  };
  return { report, sent, pass, clock };
}

test("sizes are told in device pixels, in steps of sixteen", () => {
  assert.deepEqual(viewTiles([seen("a", 620, 349)], 1), [told("a", 624, 352)]);
  assert.deepEqual(viewTiles([seen("a", 0.2, 0.2)], 1), [told("a", 16, 16)]);
  assert.deepEqual(viewTiles([seen("a", 40000, 40000)], 1), [told("a", 16384, 16384)]);
});

test("a telephone with three pixels for one asks for one and a half", () => {
  assert.deepEqual(viewTiles([seen("a", 320, 180)], 3), [told("a", 480, 272)]);
});

test("with three pictures only the one that stands large is sharper than CSS pixels", () => {
  const tiles = viewTiles([seen("a", 320, 160), seen("b", 320, 160), seen("c", 640, 320, true)], 2);
  assert.deepEqual(tiles, [{ ...told("c", 960, 480), pinned: true }, told("a", 320, 160), told("b", 320, 160)]);
});

test("a page drawn smaller asks for what the screen has", () => {
  assert.deepEqual(viewTiles([seen("a", 640, 320)], 0.5), [told("a", 320, 160)]);
});

test("no more tiles are told than the server takes, the large ones first", () => {
  const many = Array.from({ length: MAX_VIEW_TILES + 1 }, (_, number) => seen(`p${number}`, 160, 96, number === MAX_VIEW_TILES));
  assert.equal(viewTiles(many.slice(0, MAX_VIEW_TILES), 1).length, MAX_VIEW_TILES);
  const tiles = viewTiles(many, 1);
  assert.equal(tiles.length, MAX_VIEW_TILES);
  assert.equal(tiles[0].participant, `p${MAX_VIEW_TILES}`);
});

test("a change of a tenth is none, more is one", () => {
  assert.equal(viewChanged([told("a", 320, 160)], [told("a", 352, 176)]), false);
  assert.equal(viewChanged([told("a", 320, 160)], [told("a", 368, 160)]), true);
  assert.equal(viewChanged([told("a", 320, 160)], [told("a", 272, 160)]), true);
});

test("who comes, goes, or stands large matters; the order does not", () => {
  const [a, b] = [told("a", 320, 160), told("b", 320, 160)];
  assert.equal(viewChanged([a, b], [b, a]), false);
  assert.equal(viewChanged([a], [b]), true);
  assert.equal(viewChanged([a, b], [a]), true);
  assert.equal(viewChanged([a], [{ ...a, pinned: true }]), true);
  assert.equal(viewChanged([a], [{ ...a, source: "screen" }]), true);
});

test("the first view is told at once, the same one not again", () => {
  const { report, sent } = makeReport();
  report.update([told("a", 320, 160)]);
  report.update([told("a", 320, 160)]);
  assert.equal(sent.length, 1);
});

test("a window being drawn larger makes four messages a second at most, the last one true", () => {
  const { report, sent, pass } = makeReport();
  for (let step = 1; step <= 50; step++) {
    report.update([told("a", 160 + 40 * step, 160)]);
    pass(20);
  }
  pass(1000);
  assert.ok(sent.length <= 6, `${sent.length} messages in a second and what follows`);
  assert.equal(sent.at(-1)[0].width, 160 + 40 * 50);
});

test("what was seen before a short look away is not told twice", () => {
  const { report, sent, pass } = makeReport();
  report.update([told("a", 320, 160)]);
  report.update([]);
  report.update([told("a", 320, 160)]);
  pass(1000);
  assert.equal(sent.length, 1);
});

test("a hidden page is told within the interval", () => {
  const { report, sent, pass } = makeReport();
  report.update([told("a", 320, 160)]);
  pass(300);
  report.update([]);
  assert.deepEqual(sent.at(-1), []);
});

test("after joining again everything is told again", () => {
  const { report, sent, pass, clock } = makeReport();
  report.update([told("a", 320, 160)]);
  clock.joined = false;
  pass(1000);
  report.update([told("a", 640, 320)]);
  assert.equal(sent.length, 1);
  clock.joined = true;
  report.resend();
  assert.deepEqual(sent.at(-1), [told("a", 640, 320)]);
});

test("nothing is told before anything was seen, nor after the call", () => {
  const { report, sent, pass } = makeReport();
  report.resend();
  report.update([told("a", 320, 160)]);
  report.update([]);
  report.close();
  pass(1000);
  report.resend();
  assert.equal(sent.length, 1);
});
