import assert from "node:assert/strict";
import { test } from "node:test";
import { JOINED, makeClient, makeJoined } from "./doubles.mjs";

test("joins with version, name and password as soon as the socket opens", () => {
  const { client, socket } = makeClient();
  client.join({ name: "Ann", password: "pw" });
  assert.deepEqual(socket().sent, []);
  socket().open();
  assert.deepEqual(socket().sent, [{ type: "join", version: 1, name: "Ann", password: "pw" }]);
});

test("leaves the password out when there is none", () => {
  const { client, socket } = makeClient();
  client.join({ name: "Ann" });
  socket().open();
  assert.equal("password" in socket().sent[0], false);
});

test("sends nothing before it has joined", () => {
  const { client, socket } = makeClient();
  client.join({ name: "Ann" });
  socket().open();
  assert.equal(client.send({ type: "chat", text: "early" }), false);
  assert.equal(socket().of("chat").length, 0);
});

test("comes back within half a second of a break, with its token and password", () => {
  const { pass, socket, sockets } = makeJoined();
  socket().break();
  pass(400);
  assert.equal(sockets().length, 2);
  socket().open();
  assert.deepEqual(socket().sent, [{ type: "join", version: 1, name: "Ann", password: "pw", resume: "token-1" }]);
});

test("tries at least every four seconds while the server is away", () => {
  const { pass, socket, sockets } = makeJoined();
  socket().break();
  for (let second = 0; second < 60; second++) {
    pass(1000);
    if (socket().readyState === 0) socket().break();
  }
  assert.ok(sockets().length >= 15, `${sockets().length} attempts in a minute`);
});

test("gives an attempt up that a packet-eating network leaves hanging", () => {
  const { pass, socket, sockets } = makeJoined();
  socket().break();
  pass(400);
  const hanging = socket();
  pass(6000);
  assert.equal(hanging.readyState, 3);
  assert.ok(sockets().length >= 3);
});

test("answers the server's ping", () => {
  const { socket } = makeJoined();
  socket().deliver({ type: "ping" });
  assert.equal(socket().of("pong").length, 1);
});

test("pings after five seconds of silence and not before", () => {
  const { pass, socket } = makeJoined();
  pass(4900);
  assert.equal(socket().of("ping").length, 0);
  pass(700);
  assert.equal(socket().of("ping").length, 1);
});

test("gives up on a socket after twelve seconds without a message", () => {
  const { client, pass, socket, sockets } = makeJoined();
  const first = socket();
  pass(11_500);
  assert.equal(client.status, "joined");
  pass(1000);
  assert.equal(first.readyState, 3);
  assert.equal(sockets().length, 2);
});

test("a probe finds a dead socket and opens another within a second", () => {
  const { client, pass, socket, sockets } = makeJoined();
  const first = socket();
  client.probe();
  assert.equal(first.of("ping").length, 1);
  pass(700);
  assert.equal(first.readyState, 3);
  assert.equal(sockets().length, 2);
});

test("a probe leaves a living socket alone", () => {
  const { client, pass, socket, sockets } = makeJoined();
  client.probe();
  socket().deliver({ type: "pong" });
  pass(3000);
  assert.equal(sockets().length, 1);
});

test("a probe while waiting tries at once", () => {
  const { client, socket, sockets } = makeJoined();
  socket().break();
  client.probe();
  assert.equal(sockets().length, 2);
});

test("a request gets the reply that carries its mark", async () => {
  const { client, socket } = makeJoined();
  const first = client.request({ type: "publish", sdp: "a" });
  const second = client.request({ type: "publish", sdp: "b" });
  const [one, two] = socket().of("publish");
  socket().deliver({ type: "published", sdp: "answer b", request: two.request });
  socket().deliver({ type: "published", sdp: "answer a", request: one.request });
  assert.equal((await first).sdp, "answer a");
  assert.equal((await second).sdp, "answer b");
});

test("a refused request is rejected with the server's code", async () => {
  const { client, socket, events } = makeJoined();
  const request = client.request({ type: "publish", sdp: "a" });
  socket().deliver({ type: "error", code: "sdp", message: "no", fatal: false, request: socket().of("publish")[0].request });
  await assert.rejects(request, { code: "sdp" });
  assert.equal(events.filter(([type]) => type === "error").length, 0);
});

test("requests under way are rejected when the socket breaks", async () => {
  const { client, socket } = makeJoined();
  const request = client.request({ type: "publish", sdp: "a" });
  socket().break();
  await assert.rejects(request, { code: "disconnected" });
});

test("a request without answer is rejected after ten seconds", async () => {
  const { client, pass, socket } = makeJoined();
  const request = client.request({ type: "publish", sdp: "a" });
  pass(5000);
  socket().deliver({ type: "ping" });
  pass(6000);
  await assert.rejects(request, { code: "timeout" });
});

test("a wrong password ends it, and no further attempt is made", () => {
  const { client, pass, socket, sockets, events } = makeClient();
  client.join({ name: "Ann", password: "wrong" });
  socket().open();
  socket().deliver({ type: "error", code: "password", message: "no", fatal: true });
  socket().break();
  pass(10_000);
  assert.equal(sockets().length, 1);
  assert.deepEqual(events.at(-1), ["refused", { code: "password", message: "no" }]);
});

test("a draining server is come back to when it says", () => {
  const { pass, socket, sockets } = makeJoined();
  socket().deliver({ type: "closing", reason: "draining", retry_ms: 2000 });
  pass(1900);
  assert.equal(sockets().length, 1);
  pass(200);
  assert.equal(sockets().length, 2);
});

test("a draining refusal at the door is passing", () => {
  const { client, pass, socket, sockets } = makeClient();
  client.join({ name: "Ann" });
  socket().open();
  socket().deliver({ type: "error", code: "draining", message: "", fatal: true, retry_ms: 1000 });
  pass(1100);
  assert.equal(sockets().length, 2);
});

test("a room that is over is not come back to", () => {
  const { pass, socket, sockets, events } = makeJoined();
  socket().deliver({ type: "closing", reason: "ended" });
  pass(10_000);
  assert.equal(sockets().length, 1);
  assert.deepEqual(events.at(-1), ["ended", { reason: "ended" }]);
});

test("says how a room should be that this join may open", () => {
  const { client, socket } = makeClient();
  client.join({ name: "Ann", settings: { mode: "broadcast" } });
  socket().open();
  assert.deepEqual(socket().sent[0].settings, { mode: "broadcast" });
});

test("a seat taken over elsewhere is not fought for", () => {
  const { pass, socket, sockets, events } = makeJoined();
  socket().deliver({ type: "closing", reason: "replaced" });
  socket().break();
  pass(10_000);
  assert.equal(sockets().length, 1);
  assert.deepEqual(events.at(-1), ["ended", { reason: "replaced" }]);
});

test("leaving says so and stays away", () => {
  const { client, pass, socket, sockets } = makeJoined();
  client.leave();
  assert.equal(socket().of("leave").length, 1);
  pass(10_000);
  assert.equal(sockets().length, 1);
  assert.equal(client.status, "closed");
});

test("garbage and unknown messages disturb nothing", () => {
  const { client, socket } = makeJoined();
  for (const data of ["{", "null", "[]", "1", '{"type": 5}', '{"type": "tomorrow", "x": 1}']) socket().deliver(data);
  assert.equal(client.status, "joined");
});

test("messages of an old socket are not heard", () => {
  const { pass, socket, events } = makeJoined();
  const old = socket();
  old.break();
  pass(400);
  old.deliver({ type: "chat", id: 1, text: "late" });
  assert.equal(events.filter(([type]) => type === "chat").length, 0);
});

test("a role comes with a token of its own", () => {
  const { pass, socket } = makeJoined();
  socket().deliver({ type: "role", role: "speaker", resume: { token: "token-2" } });
  socket().break();
  pass(400);
  socket().open();
  assert.equal(socket().sent[0].resume, "token-2");
});

test("a new token replaces the one before", () => {
  const { pass, socket } = makeJoined();
  socket().break();
  pass(400);
  socket().open();
  socket().deliver({ ...JOINED, resume: { token: "token-2", seconds: 60 } });
  socket().break();
  pass(400);
  socket().open();
  assert.equal(socket().sent[0].resume, "token-2");
});

/** A client that stands before the door until a host opens it. */
function makeWaiting() {
  const made = makeClient();
  made.client.join({ name: "Ann", password: "pw" });
  made.socket().open();
  made.socket().deliver({ type: "waiting", host: true });
  return made;
}

test("who waits for a host is told so, and whether one is there", () => {
  const { events, socket } = makeWaiting();
  socket().deliver({ type: "waiting", host: false });
  assert.deepEqual(events.filter(([type]) => type === "waiting").map(([, { host }]) => host), [true, false]);
});

test("who waits is not hurried, and pings", () => {
  const { client, pass, socket, sockets } = makeWaiting();
  for (let second = 0; second < 60; second++) {
    pass(1000);
    if (socket().of("ping").length > 0 && second % 5 === 0) socket().deliver({ type: "pong" });
  }
  assert.equal(sockets().length, 1);
  assert.equal(client.status, "lobby");
  assert.ok(socket().of("ping").length >= 8);
});

test("who waits answers the server's ping, and sends nothing else", () => {
  const { client, socket } = makeWaiting();
  socket().deliver({ type: "ping" });
  assert.equal(socket().of("pong").length, 1);
  assert.equal(client.send({ type: "chat", text: "hello?" }), false);
});

test("who waits on a dead socket waits on another one", () => {
  const { pass, socket, sockets } = makeWaiting();
  const first = socket();
  pass(13_000);
  assert.equal(first.readyState, 3);
  assert.equal(sockets().length, 2);
  socket().open();
  assert.deepEqual(socket().sent, [{ type: "join", version: 1, name: "Ann", password: "pw" }]);
});

test("a probe finds a dead socket while waiting for a host", () => {
  const { client, pass, sockets } = makeWaiting();
  client.probe();
  pass(700);
  assert.equal(sockets().length, 2);
});

test("who is let in has joined", () => {
  const { client, socket, events } = makeWaiting();
  socket().deliver(JOINED);
  assert.equal(client.status, "joined");
  assert.equal(events.at(-1)[0], "joined");
});

test("who is sent away does not come again", () => {
  const { pass, socket, sockets, events } = makeWaiting();
  socket().deliver({ type: "error", code: "denied", message: "no", fatal: true });
  socket().break();
  pass(10_000);
  assert.equal(sockets().length, 1);
  assert.deepEqual(events.at(-1), ["refused", { code: "denied", message: "no" }]);
});

test("leaving while waiting says so and closes the socket", () => {
  const { client, pass, socket, sockets } = makeWaiting();
  client.leave();
  assert.equal(socket().of("leave").length, 1);
  assert.equal(socket().readyState, 3);
  pass(10_000);
  assert.equal(sockets().length, 1);
});

test("the key of a host goes with every join, an absent one with none", () => {
  const { client, socket } = makeClient();
  client.join({ name: "Ann", host_key: "key", invitation: undefined });
  socket().open();
  assert.deepEqual(socket().sent[0], { type: "join", version: 1, name: "Ann", host_key: "key" });
});

test("a seat that was had before is asked for with its token, once it has one of its own by that", () => {
  const { client, pass, socket } = makeClient();
  client.join({ name: "Ann", resume: "kept" });
  socket().open();
  assert.equal(socket().sent[0].resume, "kept");
  socket().deliver(JOINED);
  socket().break();
  pass(400);
  socket().open();
  assert.equal(socket().sent[0].resume, "token-1");
});
