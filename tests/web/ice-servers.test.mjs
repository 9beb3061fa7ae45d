import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionConfiguration, parseIceUrl, relayChoice } from "../../web/js/ice-servers.js";

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

const urls = (query) => connectionConfiguration(SERVERS, relayChoice(new URLSearchParams(query))).iceServers.flatMap((each) => each.urls);

test("without a choice every relay is used, and no STUN, which could not help", () => {
  const configuration = connectionConfiguration(SERVERS, relayChoice(new URLSearchParams("")));
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
  assert.equal(connectionConfiguration(SERVERS, { transport: "tls", port: null }).iceTransportPolicy, "relay");
});

test("nonsense in the address chooses nothing", () => {
  for (const query of ["relay=carrier-pigeon", "relay=", "port=443", "relay=UDP"]) assert.equal(urls(query).length, 4);
});

test("missing ports and transports are those of RFC 7065", () => {
  assert.deepEqual(parseIceUrl("turn:example.org"), { scheme: "turn", port: 3478, transport: "udp" });
  assert.deepEqual(parseIceUrl("turns:example.org"), { scheme: "turns", port: 5349, transport: "tcp" });
  assert.equal(parseIceUrl("https://example.org"), null);
});
