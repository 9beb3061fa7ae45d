import assert from "node:assert/strict";
import { test } from "node:test";
import { deedOf } from "../../web/js/shortcuts.js";

/** A key pressed where these selectors match. */
const stroke = (key, { code = `Key${key.toUpperCase()}`, inside = [], ...modifiers } = {}) => ({
  key,
  code,
  repeat: false,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  target: { closest: (selector) => (inside.some((each) => selector.includes(each)) ? {} : null) },
  ...modifiers,
});

test("a letter is a deed, large or small, and by its place where there are no Latin letters", () => {
  assert.equal(deedOf(stroke("m")), "microphone");
  assert.equal(deedOf(stroke("M")), "microphone");
  assert.equal(deedOf(stroke("м", { code: "KeyV" })), "camera");
  assert.equal(deedOf(stroke("?", { code: "Slash" })), "shortcuts");
  assert.equal(deedOf(stroke(" ", { code: "Space" })), "talk");
  assert.equal(deedOf(stroke("x")), "");
});

test("nothing is done while typing, in a menu or a dialog, with a modifier, or by a key held down", () => {
  assert.equal(deedOf(stroke("m", { inside: ["textarea"] })), "");
  assert.equal(deedOf(stroke(" ", { code: "Space", inside: ["textarea"] })), "");
  assert.equal(deedOf(stroke("m", { inside: ["dialog[open]"] })), "");
  for (const modifier of ["ctrlKey", "altKey", "metaKey", "repeat"]) assert.equal(deedOf(stroke("m", { [modifier]: true })), "");
});

test("Escape leaves a field as well, but a dialog closes itself", () => {
  assert.equal(deedOf(stroke("Escape", { code: "Escape", inside: ["textarea"] })), "close");
  assert.equal(deedOf(stroke("Escape", { code: "Escape", inside: ["dialog[open]"] })), "");
});
