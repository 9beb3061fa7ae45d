import assert from "node:assert/strict";
import { test } from "node:test";
import { onlyIpv6 } from "../../web/js/diag/loopback.js";
import { verdict } from "../../web/js/diag/verdict.js";
import { pathKey, pathOf } from "../../web/js/path.js";

const good = { outcome: "good" };
const bad = { outcome: "bad" };
const path = (relayed, transport) => ({ relayed, transport, family: 4, rtt_ms: 20 });
const call = (more = {}) => ({ outcome: "good", loss: 0, rtt_ms: 20, path: path(false, "udp"), ...more });
const LINE = {
  websocket: good,
  call: call(),
  stun: good,
  "turn-udp": good,
  "turn-tcp": good,
  "turn-tls": good,
  ipv6: { outcome: "none" },
  download: { outcome: "good", kBps: 2000 },
  upload: { outcome: "good", kBps: 900 },
};
const DEVICES = { camera: good, microphone: good };
const WALL = { stun: bad, "turn-udp": bad };
const DEAF = { ...WALL, call: bad, "turn-tcp": bad, "turn-tls": bad };

const CASES = [
  ["nothing was looked at", {}, null],
  ["all is well", { ...LINE, ...DEVICES }, "all-good"],
  ["the line is well", LINE, "line-good"],
  ["the devices are well", DEVICES, "devices-good"],
  ["no WebSocket", { websocket: bad }, "no-server"],
  ["nothing but the page", { ...LINE, ...DEAF }, "nothing"],
  ["relays answer, and nothing comes", { ...LINE, call: bad }, "no-media"],
  ["relays answer over TCP alone, and nothing comes", { ...LINE, ...WALL, call: bad }, "no-media"],
  ["UDP is blocked", { ...LINE, ...WALL, call: call({ outcome: "poor", path: path(true, "tls") }) }, "no-udp"],
  ["UDP is blocked and the relay is slow", { ...LINE, ...WALL, call: call({ path: path(true, "tcp"), loss: 0.2 }) }, "no-udp"],
  ["only our media port is blocked", { ...LINE, call: call({ path: path(true, "udp") }) }, "relay"],
  ["the relay was found over TCP first", { ...LINE, call: call({ path: path(true, "tcp") }) }, "relay-stream"],
  ["much is lost", { ...LINE, call: call({ loss: 0.08 }) }, "lossy", { percent: 8 }],
  ["a little is lost", { ...LINE, call: call({ loss: 0.03 }) }, "line-good"],
  ["far away", { ...LINE, call: call({ rtt_ms: 420 }) }, "far", { ms: 420 }],
  ["the uplink is tiny", { ...LINE, upload: { outcome: "poor", kBps: 12 } }, "no-upload", { kB: 12 }],
  ["the uplink is small", { ...LINE, upload: { outcome: "poor", kBps: 80 } }, "slow-upload", { kB: 80 }],
  ["the downlink is tiny", { ...LINE, download: { outcome: "poor", kBps: 12 } }, "no-download", { kB: 12 }],
  ["the downlink is small", { ...LINE, download: { outcome: "poor", kBps: 150 } }, "slow-download", { kB: 150 }],
  ["others measured", { ...LINE, upload: { outcome: "none" }, download: { outcome: "none" } }, "line-good"],
  ["both devices were refused", { ...LINE, camera: { ...bad, reason: "NotAllowedError" }, microphone: { ...bad, reason: "NotAllowedError" } }, "both-refused"],
  ["no https", { camera: { ...bad, reason: "insecure" }, microphone: { ...bad, reason: "insecure" } }, "insecure"],
  ["no microphone", { ...LINE, camera: good, microphone: { ...bad, reason: "NotFoundError" } }, "microphone"],
  ["the microphone is silent", { ...LINE, camera: good, microphone: { outcome: "poor" } }, "silent"],
  ["the camera is taken", { ...LINE, camera: { ...bad, reason: "NotReadableError" }, microphone: good }, "camera"],
  ["the lens is covered", { ...LINE, camera: { outcome: "poor" }, microphone: good }, "dark"],
  ["the network comes before the devices", { ...LINE, ...DEAF, camera: bad, microphone: bad }, "nothing"],
];

for (const [what, findings, key, values] of CASES) {
  test(`one sentence where ${what}`, () => {
    const says = verdict(findings);
    assert.equal(says && says.key, key && `diag.says.${key}`);
    if (values) assert.deepEqual(says.values, values);
  });
}

const report = (...entries) => new Map(entries.map((entry) => [entry.id, entry]));
const TRANSPORT = { id: "T", type: "transport", selectedCandidatePairId: "P" };
const PAIR = { id: "P", type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R", state: "succeeded", nominated: true, currentRoundTripTime: 0.0234 };
const LOCAL = { id: "L", type: "local-candidate", candidateType: "host", protocol: "udp" };
const REMOTE = { id: "R", type: "remote-candidate", address: "192.0.2.1" };

test("a direct path", () => {
  assert.deepEqual(pathOf(report(TRANSPORT, PAIR, LOCAL, REMOTE)), { relayed: false, transport: "udp", family: 4, rtt_ms: 23 });
});

test("a relayed path, as Chromium and as Firefox tell it", () => {
  const relay = { ...LOCAL, candidateType: "relay" };
  for (const [told, transport] of [
    [{ relayProtocol: "tls" }, "tls"],
    [{ relayProtocol: "udp" }, "udp"],
    [{ url: "turns:example.org:443?transport=tcp" }, "tls"],
    [{ url: "turn:example.org:3478?transport=tcp" }, "tcp"],
    [{}, "udp"],
  ]) {
    const found = pathOf(report(TRANSPORT, PAIR, { ...relay, ...told }, REMOTE));
    assert.equal(pathKey(found), `path.relay.${transport}`);
  }
});

test("a path without a transport entry, and over IPv6", () => {
  const other = { ...PAIR, id: "O", selected: false, nominated: false };
  const found = pathOf(report(other, { ...PAIR, selected: true }, LOCAL, { ...REMOTE, address: "2001:db8::1" }));
  assert.equal(found.family, 6);
});

test("no path yet", () => {
  assert.equal(pathOf(report({ ...TRANSPORT, selectedCandidatePairId: undefined }, { ...PAIR, nominated: false, state: "in-progress" })), null);
});

test("an answer with its IPv6 candidates alone", () => {
  const lines = (...candidates) => ["v=0", ...candidates.map((address) => `a=candidate:1 1 udp 1 ${address} 40000 typ host`), "a=end-of-candidates", ""].join("\r\n");
  assert.equal(onlyIpv6(lines("192.0.2.1", "2001:db8::1")), lines("2001:db8::1"));
  assert.equal(onlyIpv6(lines("192.0.2.1")), null);
});
