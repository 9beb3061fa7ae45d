import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseSelfView, rememberedChoices, showsGrid, switchView, togglePin } from "../../web/js/stage-choices.js";
import { Store } from "../../web/js/state.js";

const sharing = [{ id: "a", name: "Ada", microphone: true, camera: true, screen: true, connected: true }];

test("the switch goes to the view that is not shown, and takes a pin out", () => {
  const store = new Store();
  assert.equal(showsGrid(store.state), true);
  switchView(store);
  assert.equal(store.state.view, "speaker");
  switchView(store);
  assert.equal(store.state.view, "grid");
  togglePin(store, "a");
  assert.equal(showsGrid(store.state), false);
  switchView(store);
  assert.deepEqual([store.state.view, store.state.pinned], ["grid", ""]);
});

test("looking at people instead of a shared screen is not for keeps", () => {
  const store = new Store({ participants: sharing });
  assert.equal(showsGrid(store.state), false);
  switchView(store);
  assert.equal(showsGrid(store.state), true);
  assert.equal(store.state.view, "grid");
  switchView(store);
  assert.equal(showsGrid(store.state), false);
});

test("a film of ours counts as a shared screen", () => {
  assert.equal(showsGrid(new Store({ film: { name: "film.webm" } }).state), false);
});

test("the pin on a tile goes in and out, and moves to another", () => {
  const store = new Store();
  for (const [key, pinned] of [["a", "a"], ["b", "b"], ["b", ""]]) {
    togglePin(store, key);
    assert.equal(store.state.pinned, pinned);
  }
});

test("who hides their own picture has it pinned no longer", () => {
  const store = new Store({ pinned: "self" });
  chooseSelfView(store, "hidden");
  assert.deepEqual([store.state.selfView, store.state.pinned], ["hidden", ""]);
});

test("without a memory the views are the usual ones", () => {
  assert.deepEqual(rememberedChoices(), { view: "grid", selfView: "", selfCorner: "bottom-end" });
});
