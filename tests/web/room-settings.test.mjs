import assert from "node:assert/strict";
import { test } from "node:test";
import { roomSettings } from "../../web/js/room-settings.js";

const of = (query) => roomSettings(new URLSearchParams(query));

test("a plain address says nothing of the room", () => {
  assert.equal(of("?name=Ann&relay=tcp"), undefined);
});

test("the address of a webinar makes one", () => {
  assert.deepEqual(of("?webinar"), { mode: "broadcast" });
  assert.deepEqual(of("?webinar=1&video=VP9"), { mode: "broadcast", video: "vp9" });
});

test("every codec has its word, others are none", () => {
  for (const video of ["vp8", "vp9", "av1", "h264"]) assert.deepEqual(of(`?video=${video}`), { video });
  assert.equal(of("?video=theora"), undefined);
});
