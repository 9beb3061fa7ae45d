import assert from "node:assert/strict";
import { test } from "node:test";
import { firstNames, isMeant, peopleInOrder } from "../../web/js/people-order.js";
import { initialState } from "../../web/js/state.js";

const person = (name, more = {}) => ({ id: name, name, microphone: true, camera: true, screen: false, connected: true, role: "speaker", hand: 0, ...more });
const room = (participants, more = {}) => ({ ...initialState(), self: "me", name: "Mara", participants, ...more });
const names = (people) => people.map(({ name }) => name);

test("we come first, the others by name", () => {
  assert.deepEqual(names(peopleInOrder(room([person("Zoé"), person("Éva"), person("bob")])).stage), ["Mara", "bob", "Éva", "Zoé"]);
});

test("who raised a hand comes before, the earlier one first, also where that is ourselves", () => {
  const { stage } = peopleInOrder(room([person("Ann", { hand: 9 }), person("Bob"), person("Cem", { hand: 4 })], { hand: 7 }));
  assert.deepEqual(stage.map(({ name, rank }) => [name, rank]), [["Cem", 1], ["Mara", 2], ["Ann", 3], ["Bob", 0]]);
});

test("hands are counted through stage and audience", () => {
  const { stage, audience } = peopleInOrder(
    room([person("Ann", { hand: 5 }), person("Vic", { role: "viewer", hand: 2 }), person("Ida", { role: "viewer" })], { broadcast: true }),
  );
  assert.deepEqual(stage.map(({ name, rank }) => [name, rank]), [["Ann", 2], ["Mara", 0]]);
  assert.deepEqual(audience.map(({ name, rank }) => [name, rank]), [["Vic", 1], ["Ida", 0]]);
});

test("who only watches is not among those on the stage, nor is who has not answered the invitation to it", () => {
  for (const more of [{ role: "viewer" }, { role: "speaker", invited: true }]) {
    const { stage, audience } = peopleInOrder(room([person("Ann", { role: "host" })], { broadcast: true, ...more }));
    assert.deepEqual(names([...stage, ...audience]), ["Ann"]);
  }
});

test("a name is found by the beginnings of its words, without accents", () => {
  for (const typed of ["", "mar", "KOZ", "koz mar", "marie-h", "helene", "o'n", "neill"]) assert.ok(isMeant("Marie-Hélène Kozak O’Neill", typed), typed);
  for (const typed of ["arie", "kozaks", "marie x"]) assert.ok(!isMeant("Marie-Hélène Kozak O’Neill", typed), typed);
});

test("few names are all said, of many the first, and never just one is left out", () => {
  assert.deepEqual(firstNames(["A"], 2), { named: ["A"], more: 0 });
  assert.deepEqual(firstNames(["A", "B", "C"], 2), { named: ["A", "B", "C"], more: 0 });
  assert.deepEqual(firstNames(["A", "B", "C", "D"], 2), { named: ["A", "B"], more: 2 });
});
