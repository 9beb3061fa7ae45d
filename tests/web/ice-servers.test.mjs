import assert from "node:assert/strict";
import { test } from "node:test";
import { Relays, connectionConfiguration, parseIceUrl, relayChoice } from "../../web/js/ice-servers.js";

const SERVERS = [
  { urls: ["stun:example.org:3478"] },
  {
    urls: [
      "turn:example.org:3478?transport=udp",
      "turn:example.org:3478?transport=tcp",
      "turns:example.org:5349?transport=tcp",
      "turns:[2001:db8::1]:443?transport=tcp",
    ],
    username: "u",
    credential: "c",
  },
];

const urls = (query, level = 2) =>
  connectionConfiguration(SERVERS, relayChoice(new URLSearchParams(query)), level).iceServers.flatMap((each) => each.urls);

test("at first no relay is used, then the first and the last, which differ most", () => {
  assert.deepEqual(urls("", 0), []);
  assert.deepEqual(urls("", 1), ["turn:example.org:3478?transport=udp", "turns:[2001:db8::1]:443?transport=tcp"]);
});

test("two connections that fail together raise the level once", () => {
  const relays = new Relays({ transport: null, port: null });
  assert.ok(relays.direct);
  assert.equal(relays.raise(0), 1);
  assert.equal(relays.raise(0), 1);
  assert.equal(relays.raise(1), 2);
  assert.equal(relays.raise(2), 2);
  assert.ok(!relays.direct);
});

test("at last every relay is used, and no STUN, which could not help", () => {
  const configuration = connectionConfiguration(SERVERS, relayChoice(new URLSearchParams("")), 2);
  assert.deepEqual(configuration.iceServers, [SERVERS[1]]);
  assert.equal(configuration.iceTransportPolicy, undefined);
});

test("a choice keeps only the relays of that way", () => {
  assert.deepEqual(urls("relay=udp"), ["turn:example.org:3478?transport=udp"]);
  assert.deepEqual(urls("relay=tcp"), ["turn:example.org:3478?transport=tcp"]);
  assert.deepEqual(urls("relay=tls"), ["turns:example.org:5349?transport=tcp", "turns:[2001:db8::1]:443?transport=tcp"]);
  assert.deepEqual(urls("relay=tls&port=443"), ["turns:[2001:db8::1]:443?transport=tcp"]);
});

test("a choice lets nothing pass beside the relay", () => {
  assert.equal(connectionConfiguration(SERVERS, { transport: "tls", port: null }, 0).iceTransportPolicy, "relay");
});

test("nonsense in the address chooses nothing", () => {
  for (const query of ["relay=carrier-pigeon", "relay=", "port=443", "relay=UDP"]) assert.equal(urls(query).length, 4);
});

test("missing ports and transports are those of RFC 7065", () => {
  assert.deepEqual(parseIceUrl("turn:example.org"), { scheme: "turn", port: 3478, transport: "udp" });
  assert.deepEqual(parseIceUrl("turns:example.org"), { scheme: "turns", port: 5349, transport: "tcp" });
  assert.equal(parseIceUrl("https://example.org"), null);
});
