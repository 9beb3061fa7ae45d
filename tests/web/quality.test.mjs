import assert from "node:assert/strict";
import { test } from "node:test";
import { count, emptySample, kilobytes, traffic } from "../../web/js/quality.js";

const sample = (at, entries, paths = []) => {
  const made = Object.assign(emptySample(at), { paths });
  for (const entry of entries) count(made, entry);
  return made;
};
const way = (relayed, transport, rtt_ms = 0) => ({ relayed, transport, family: 4, rtt_ms });

test("bytes, loss both ways and the picture of one m-line, between two samples", () => {
  const at = (bytes, received, lost, sent, lostThere) => [
    { type: "candidate-pair", bytesSent: bytes, bytesReceived: 2 * bytes },
    { type: "inbound-rtp", kind: "video", mid: "3", bytesReceived: bytes, packetsReceived: received, packetsLost: lost, frameWidth: 640, frameHeight: 360, framesPerSecond: 24.6 },
    { type: "inbound-rtp", kind: "audio", mid: "4", packetsReceived: 0, packetsLost: -2 },
    { type: "outbound-rtp", packetsSent: sent },
    { type: "remote-inbound-rtp", packetsLost: lostThere },
  ];
  const now = traffic(sample(1000, at(1000, 100, 1, 50, 0)), sample(3000, at(9000, 196, 5, 250, 10)));
  assert.equal(now.sent, 4000);
  assert.equal(now.received, 8000);
  assert.deepEqual(now.loss, { incoming: 0.04, outgoing: 0.05 });
  assert.deepEqual(now.stream("3"), { bytes: 4000, width: 640, height: 360, framerate: 25 });
  assert.equal(now.stream("9"), null);
});

test("counts that begin anew with a new connection are no loss and no traffic", () => {
  const packets = (received, lost) => [{ type: "inbound-rtp", kind: "audio", packetsReceived: received, packetsLost: lost }];
  const now = traffic(sample(0, packets(1000, 50)), sample(1000, packets(10, 0)));
  assert.deepEqual(now.loss, { incoming: 0, outgoing: 0 });
});

test("the ways of both connections, each once, and the slower of them", () => {
  const now = (...paths) => traffic(sample(0, []), sample(1000, [], paths));
  assert.deepEqual(now(way(false, "udp", 20), way(false, "udp", 30)).ways, ["path.direct.udp"]);
  assert.equal(now(way(false, "udp", 20), way(false, "udp", 30)).rtt_ms, 30);
  assert.deepEqual(now(way(true, "tls"), way(false, "udp"), null).ways, ["path.relay.tls", "path.direct.udp"]);
  assert.deepEqual(now().ways, []);
});

test("UDP is blocked where the relay is reached by other means", () => {
  const noUdp = (...paths) => traffic(sample(0, []), sample(1000, [], paths)).noUdp;
  assert.equal(noUdp(way(true, "tls")), true);
  assert.equal(noUdp(way(false, "udp"), way(true, "tcp")), true);
  assert.equal(noUdp(way(true, "udp")), false);
  assert.equal(noUdp(way(false, "udp")), false);
});

test("kilobytes as people read them", () => {
  assert.deepEqual([12, 940, 9940, 9960, 123_456].map(kilobytes), [0, 0.9, 9.9, 10, 123]);
});
