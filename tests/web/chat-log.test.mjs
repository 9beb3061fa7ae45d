import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatLog, MAX_SHOWN } from "../../web/js/chat-log.js";
import { SignallingError } from "../../web/js/protocol.js";
import { Store } from "../../web/js/state.js";

/** A connection that can be up or down; what was sent while up is kept. */
class Line {
  up = true;
  sent = [];
  answered = false;

  request(message) {
    if (!this.up) return Promise.reject(new SignallingError("disconnected", "down"));
    this.sent.push(message.text);
    return this.answered ? Promise.resolve(message) : new Promise(() => {});
  }
}

function makeLog() {
  const line = new Line();
  const store = new Store({ self: "me", name: "Ann" });
  return { line, store, log: new ChatLog(line, store), texts: () => store.state.chat.map(({ text }) => text) };
}

const message = (id, text, participant = "other") => ({ id, participant, name: "Bob", text, time: 1000 + id });

test("what is written shows at once, as pending, and is settled by its echo", () => {
  const { log, store, line } = makeLog();
  log.write("hello");
  assert.equal(store.state.chat[0].pending, true);
  log.receive({ id: 1, participant: "me", name: "Ann", text: "hello", time: 1 });
  assert.deepEqual(store.state.chat.map(({ text, pending }) => [text, pending]), [["hello", undefined]]);
  assert.deepEqual(line.sent, ["hello"]);
});

test("a text that the server cleaned does not stay pending", async () => {
  const { log, line, store } = makeLog();
  line.answered = true;
  log.write("bell\u0007");
  log.receive({ id: 1, participant: "me", name: "Ann", text: "bell", time: 1 });
  await new Promise(setImmediate);
  assert.deepEqual(store.state.chat.map(({ id }) => id), [1]);
});

test("what others write counts as unread until the chat is open", () => {
  const { log, store } = makeLog();
  log.receive(message(1, "a"));
  assert.equal(store.state.unread, 1);
  store.set({ panel: "chat", unread: 0 });
  log.receive(message(2, "b"));
  assert.equal(store.state.unread, 0);
});

test("what was written without a connection goes out after it is back", async () => {
  const { log, line, texts } = makeLog();
  line.up = false;
  log.write("late");
  await new Promise(setImmediate);
  line.up = true;
  log.joined([]);
  await new Promise(setImmediate);
  assert.deepEqual(line.sent, ["late"]);
  assert.deepEqual(texts(), ["late"]);
});

test("what had arrived before the break is not sent twice", async () => {
  const { log, line, store } = makeLog();
  line.up = false;
  log.write("once");
  await new Promise(setImmediate);
  line.up = true;
  log.joined([{ id: 7, participant: "me", name: "Ann", text: "once", time: 2 }]);
  await new Promise(setImmediate);
  assert.deepEqual(line.sent, []);
  assert.deepEqual(store.state.chat.map(({ id }) => id), [7]);
});

test("history is shown once, however often it comes, and is not unread at first", () => {
  const { log, store, texts } = makeLog();
  log.joined([message(1, "a"), message(2, "b")]);
  assert.equal(store.state.unread, 0);
  log.joined([message(1, "a"), message(2, "b"), message(3, "c")]);
  assert.deepEqual(texts(), ["a", "b", "c"]);
  assert.equal(store.state.unread, 1);
});

test("a restarted server that forgot the chat does not empty it", () => {
  const { log, texts } = makeLog();
  log.joined([message(1, "a")]);
  log.joined([]);
  assert.deepEqual(texts(), ["a"]);
});

test("no more than the bound is kept", () => {
  const { log, store } = makeLog();
  for (let id = 0; id <= MAX_SHOWN; id++) log.receive(message(id, String(id)));
  assert.equal(store.state.chat.length, MAX_SHOWN);
  assert.equal(store.state.chat.at(-1).text, String(MAX_SHOWN));
});
