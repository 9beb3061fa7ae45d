import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomActions } from "../../web/js/room-actions.js";
import { Store } from "../../web/js/state.js";
import { makeJoined } from "./doubles.mjs";

function makeRoom() {
  const { client, socket } = makeJoined();
  const notices = [];
  const store = new Store();
  return { room: new RoomActions(client, store, (key) => notices.push(key)), notices, socket, store };
}

/** @param {any} socket @param {string} code what the server says about the last message */
function refuse(socket, code) {
  const { request } = socket.sent.at(-1);
  socket.deliver({ type: "error", code, message: "", fatal: false, request });
}

const asHost = {
  moderate: (room) => room.moderate("promote", "someone"),
  rules: (room) => room.changeRules({ locked: true }),
  admit: (room) => room.admit(true),
  "lift-ban": (room) => room.liftBan("ban"),
  revoke: (room) => room.revoke("invitation"),
  end: (room) => room.endForAll(),
};

for (const [type, ask] of Object.entries(asHost)) {
  test(`a host who is refused ${type} is told`, () => {
    const { room, notices, socket } = makeRoom();
    ask(room);
    assert.equal(socket().sent.at(-1).type, type);
    assert.deepEqual(notices, []);
    refuse(socket(), "forbidden");
    assert.deepEqual(notices, ["notice.not-possible"]);
  });

  test(`a host whose ${type} cannot be sent is told`, () => {
    const { room, notices, socket } = makeRoom();
    socket().break();
    ask(room);
    assert.deepEqual(notices, ["notice.not-connected"]);
  });
}

test("that somebody is not there any more is no news", () => {
  const { room, notices, socket } = makeRoom();
  room.moderate("mute", "gone");
  refuse(socket(), "unknown");
  assert.deepEqual(notices, []);
});

test("what others asked for and were refused is not the host's", () => {
  const { notices, socket } = makeRoom();
  socket().deliver({ type: "error", code: "forbidden", message: "", fatal: false });
  assert.deepEqual(notices, []);
});

test("rules and what hosts know follow the server", async () => {
  const { store, socket } = makeRoom();
  const rules = { locked: true, lobby: false, password: true, rights: { chat: true, share: false, unmute: true, files: true } };
  const moderation = { host_key: "k", waiting: [{ id: "w", name: "Ann" }], invitations: [], bans: [] };
  socket().deliver({ type: "rules", rules });
  socket().deliver({ type: "moderation", moderation });
  assert.deepEqual([store.state.rules, store.state.moderation], [rules, moderation]);
});
