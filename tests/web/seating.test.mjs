import assert from "node:assert/strict";
import { test } from "node:test";
import { BRING_AFTER_MS, SELF, Seating, Talk, handOrder, pageOf, setScene, whoGivesWay } from "../../web/js/seating.js";

const seated = (...keys) => {
  const seating = new Seating();
  seating.seat(keys);
  return seating;
};

test("who comes sits behind the others", () => {
  const seating = seated("a", "b");
  seating.seat(["c", "b", "a"]);
  assert.deepEqual(seating.order(["a", "b", "c"]), ["a", "b", "c"]);
});

test("a seat that becomes free is taken by the last one, and all others keep theirs", () => {
  const seating = seated("a", "b", "c", "d", "e");
  seating.seat(["a", "c", "d", "e"]);
  assert.deepEqual(seating.order(["a", "c", "d", "e"]), ["a", "e", "c", "d"]);
});

test("many may leave at once, the last ones too", () => {
  const seating = seated("a", "b", "c", "d", "e");
  seating.seat(["c"]);
  assert.deepEqual(seating.order(["a", "b", "c", "d", "e"]), ["c"]);
  seating.seat([]);
  seating.seat(["e"]);
  assert.deepEqual(seating.order(["e"]), ["e"]);
});

test("pages are pieces of the seats", () => {
  assert.deepEqual(pageOf(["a", "b", "c", "d", "e"], 1, 2), ["c", "d"]);
  assert.deepEqual(pageOf(["a", "b", "c", "d", "e"], 2, 2), ["e"]);
});

test("somebody has the floor only after a while", () => {
  const talk = new Talk();
  assert.equal(talk.hear("a", 0), true);
  assert.equal(talk.hear("a", 100), false);
  assert.equal(talk.steady(1000, 999), "");
  assert.equal(talk.steady(1000, 1000), "a");
  talk.hear("", 1100);
  assert.equal(talk.steady(1000, 9000), "");
});

test("a speaker of another page takes the seat of who has been silent longest", () => {
  const keys = [SELF, "a", "b", "c", "d", "e"];
  const seating = seated(...keys);
  const talk = new Talk();
  talk.hear("a", 0);
  talk.hear("c", 1000);
  talk.hear("b", 2000);
  talk.hear("e", 3000);
  assert.equal(talk.steady(BRING_AFTER_MS, 3000 + BRING_AFTER_MS), "e");
  const away = whoGivesWay({ keys, page: 0, perPage: 4, speaker: "e", talk });
  assert.equal(away, "a");
  seating.swap("e", away);
  assert.deepEqual(seating.order(keys), [SELF, "e", "b", "c", "d", "a"]);
});

test("nobody gives way to who is seen, to ourselves, to who has left, and screens give way to nobody", () => {
  const talk = new Talk();
  const keys = [SELF, "a", "b", "c"];
  for (const speaker of ["a", SELF, "gone"]) assert.equal(whoGivesWay({ keys, page: 0, perPage: 2, speaker, talk }), "");
  assert.equal(whoGivesWay({ keys: ["a/screen", SELF, "b"], page: 0, perPage: 2, speaker: "b", talk }), "");
});

test("who never spoke gives way before who did, the last one first", () => {
  const talk = new Talk();
  talk.hear("a", 0);
  talk.hear("", 10);
  assert.equal(talk.mostSilent(["a", "b", "c"]), "c");
  talk.hear("c", 20);
  assert.equal(talk.mostSilent(["a", "b", "c"]), "b");
  talk.forgetOthers(new Set(["b"]));
  assert.equal(talk.mostSilent([]), "");
});

const cast = (change) => ({ people: [SELF, "a", "b", "c"], screens: [], mode: "grid", screensAside: false, pinned: "", spotlight: "", selfView: "", ...change });

test("in the grid all are of one size", () => {
  assert.deepEqual(setScene(cast({})), { large: [], rest: [SELF, "a", "b", "c"], floating: false });
});

test("in the speaker view who spoke last is large, before that the first one; we float", () => {
  assert.deepEqual(setScene(cast({ mode: "speaker", spotlight: "b" })), { large: ["b"], rest: ["a", "c"], floating: true });
  assert.deepEqual(setScene(cast({ mode: "speaker", spotlight: "gone" })).large, ["a"]);
});

test("two people see each other large and themselves small", () => {
  assert.deepEqual(setScene(cast({ people: [SELF, "a"] })), { large: [], rest: ["a"], floating: true });
});

test("who is alone sees themselves, unless they do not want to", () => {
  for (const selfView of ["", "grid", "floating"]) assert.deepEqual(setScene(cast({ people: [SELF], selfView, mode: "speaker" })).rest, [SELF]);
  assert.deepEqual(setScene(cast({ people: [SELF], selfView: "hidden" })), { large: [], rest: [], floating: false });
});

test("shared screens are large, all of them, until one is pinned or they are put aside", () => {
  const screens = ["a/screen", "b/screen"];
  assert.deepEqual(setScene(cast({ screens })), { large: screens, rest: [SELF, "a", "b", "c"], floating: false });
  const pinned = setScene(cast({ screens, pinned: "b/screen" }));
  assert.deepEqual([pinned.large, pinned.rest], [["b/screen"], ["a/screen", SELF, "a", "b", "c"]]);
  assert.deepEqual(setScene(cast({ screens, screensAside: true })).large, []);
});

test("who is pinned is large in every view, until they leave", () => {
  assert.deepEqual(setScene(cast({ pinned: "c" })).large, ["c"]);
  assert.deepEqual(setScene(cast({ pinned: SELF })), { large: [SELF], rest: ["a", "b", "c"], floating: false });
  assert.deepEqual(setScene(cast({ pinned: "gone" })).large, []);
});

test("our own picture is where we want it", () => {
  assert.equal(setScene(cast({ selfView: "floating" })).floating, true);
  assert.deepEqual(setScene(cast({ selfView: "hidden" })), { large: [], rest: ["a", "b", "c"], floating: false });
  assert.deepEqual(setScene(cast({ selfView: "grid", people: [SELF, "a"] })).rest, [SELF, "a"]);
});

test("a viewer of a webinar has no picture of their own", () => {
  assert.deepEqual(setScene(cast({ people: ["a"] })), { large: [], rest: ["a"], floating: false });
});

test("raised hands are numbered among those raised", () => {
  const order = handOrder([{ id: "a", hand: 12 }, { id: "b", hand: 0 }, { id: "c", hand: 7 }, { id: "d" }]);
  assert.deepEqual([...order], [["c", 1], ["a", 2]]);
});
