import assert from "node:assert/strict";
import { test } from "node:test";
import { statsOf } from "../../web/js/stats.js";
import { roundTripOf } from "../../web/js/upload-pace.js";
import { sampleTraffic } from "../../web/js/quality.js";

const REPORT = new Map([["pair", { type: "candidate-pair", bytesSent: 5, bytesReceived: 7 }]]);

/** As Firefox closes: what was asked stays without an answer. */
function closing() {
  const connection = { connectionState: "connected", getStats: () => new Promise(() => {}) };
  setTimeout(() => (connection.connectionState = "closed"), 10);
  return connection;
}

test("an answer is handed on, and a refusal", async () => {
  assert.equal(await statsOf({ connectionState: "connected", getStats: async () => REPORT }), REPORT);
  await assert.rejects(statsOf({ connectionState: "connected", getStats: async () => Promise.reject(new Error("no")) }), /no/);
});

test("an answer may take its time while the connection stands", async () => {
  const late = { connectionState: "connected", getStats: () => new Promise((resolve) => setTimeout(() => resolve(REPORT), 700)) };
  assert.equal(await statsOf(late), REPORT);
});

test("a connection that is closed without an answer counts nothing, and nobody waits for it", async () => {
  assert.equal(await statsOf(closing()), null);
  assert.equal(await roundTripOf(closing()), null);
  const { sent, received, paths } = await sampleTraffic([closing(), { connectionState: "connected", getStats: async () => REPORT }]);
  assert.deepEqual([sent, received, paths[0]], [5, 7, null]);
});
