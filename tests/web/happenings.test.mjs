import assert from "node:assert/strict";
import { test } from "node:test";
import { readFileSync } from "node:fs";
import { sentences } from "../../web/js/announcer.js";
import { Happenings } from "../../web/js/happenings.js";
import { Sounds } from "../../web/js/sounds.js";
import { Store } from "../../web/js/state.js";
import { useLanguage } from "../../web/js/language.js";

const ada = { id: "a", name: "Ada", microphone: true, camera: true, screen: false, connected: true, hand: 0 };
const bob = { ...ada, id: "b", name: "Bob" };
const drawn = () => new Promise((resolve) => queueMicrotask(resolve));

/** A call in which Ada is with us, and what has been heard of since. */
async function call(now = () => 60_000) {
  const store = new Store({ phase: "lobby" });
  const heard = [];
  new Happenings(store, (happenings) => heard.push(...happenings.map(({ kind, name }) => `${kind} ${name}`.trim())), now);
  store.set({ phase: "call", self: "me", participants: [ada] });
  await drawn();
  return { store, heard };
}

test("who is there when we come has not arrived", async () => {
  const { heard } = await call();
  assert.deepEqual(heard, []);
});

test("coming, going, hands and screens are told once each", async () => {
  let time = 0;
  const { store, heard } = await call(() => time);
  time = 60_000;
  for (const participants of [[ada, bob], [ada, { ...bob, hand: 7 }], [ada, { ...bob, hand: 7, microphone: false }], [{ ...ada, screen: true }, bob], [ada]]) {
    store.set({ participants });
    await drawn();
  }
  assert.deepEqual(heard, ["joined Bob", "hand Bob", "share Ada", "left Bob", "share-ended Ada"]);
});

test("those who come back after a restart of the server are not announced one by one", async () => {
  let time = 60_000;
  const { store, heard } = await call(() => time);
  store.set({ reconnecting: true });
  await drawn();
  store.set({ self: "me again", reconnecting: false, participants: [] });
  await drawn();
  time += 2000;
  store.set({ participants: [{ ...ada, id: "a again" }] });
  await drawn();
  assert.deepEqual(heard, ["lost", "back"]);
});

test("in a crowd people come and go silently, hands are still heard of", async () => {
  const crowd = Array.from({ length: 30 }, (_, index) => ({ ...ada, id: `c${index}` }));
  let time = 0;
  const { store, heard } = await call(() => time);
  time = 60_000;
  store.set({ participants: crowd });
  await drawn();
  store.set({ participants: [...crowd.slice(1), { ...bob, hand: 3 }] });
  await drawn();
  assert.deepEqual(heard, ["hand Bob"]);
});

test("a host hears of who waits, the audience of a webinar comes unannounced", async () => {
  let time = 0;
  const { store, heard } = await call(() => time);
  time = 60_000;
  const moderation = { host_key: "", invitations: [], bans: [], waiting: [{ id: "w", name: "Zoé" }] };
  store.set({ moderation, participants: [ada, { ...bob, role: "viewer" }] });
  await drawn();
  assert.deepEqual(heard, ["waiting Zoé"]);
});

test("a few are named, many are counted", async () => {
  globalThis.document ??= { documentElement: {}, querySelectorAll: () => [] };
  globalThis.fetch = async (url) => ({ json: async () => JSON.parse(readFileSync(new URL(`../../web/locales/${/(\w+)\.json/.exec(url)[1]}.json`, import.meta.url), "utf8")) });
  await useLanguage("en");
  const joined = (names) => names.map((name) => ({ kind: "joined", name }));
  assert.deepEqual(sentences([...joined(["Ada"]), { kind: "hand", name: "Bob" }]), ["Ada has joined.", "Bob raises a hand."]);
  assert.deepEqual(sentences(joined(["a", "b", "c", "d"])), ["4 people have joined."]);
});

test("one sound at a time, the one that matters most, none in a webinar or when they are switched off", () => {
  globalThis.document ??= { hidden: false };
  const played = [];
  const heard = (state, kinds) => {
    const sounds = new Sounds(new Store(state), async (notes) => played.push(notes.length));
    for (const one of kinds) sounds.hear(one.map((kind) => ({ kind, name: "" })));
    return played.splice(0).length;
  };
  assert.equal(heard({}, [["joined", "waiting"], ["left"]]), 1);
  assert.equal(heard({ broadcast: true }, [["joined"]]), 0);
  const { choices } = new Store().state;
  assert.equal(heard({ choices: { ...choices, sounds: false } }, [["waiting"]]), 0);
});
