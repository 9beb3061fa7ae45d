import assert from "node:assert/strict";
import { test } from "node:test";
import { endOf } from "../../web/components/invite/invitations.js";

const at = (...parts) => new Date(...parts);
const seconds = (date) => date.getTime() / 1000;

test("an invitation that ends today ends at an hour", () => {
  const end = endOf(seconds(at(2026, 10, 26, 18, 5)), at(2026, 10, 26, 9, 0), "fr");
  assert.equal(end, "18:05");
});

test("one that ends later says the day too, also when it is the same hour", () => {
  const end = endOf(seconds(at(2026, 11, 3, 9, 0)), at(2026, 10, 26, 9, 0), "fr");
  for (const part of ["jeu", "3", "déc", "9:00"]) assert.ok(end.includes(part), end);
});
