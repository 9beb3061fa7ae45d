import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { cleanRoomName, inventRoomName } from "../../web/js/room-name.js";

const WEB = new URL("../../web/", import.meta.url);
const read = (path) => readFileSync(new URL(path, WEB), "utf8");
const phrases = Object.fromEntries(["en", "fr"].map((code) => [code, JSON.parse(read(`locales/${code}.json`))]));
const sources = ["js/", "components/"].flatMap((folder) =>
  readdirSync(new URL(folder, WEB), { recursive: true })
    .filter((name) => name.endsWith(".js"))
    .map((name) => read(folder + name)),
);

/** Keys put together from parts, by what they begin with. */
const COMPOSED = /^(problem\.|theme\.|device\.|ended\.|refused\.|moderated\.|notice\.|quality\.|reaction\.|more\.|share\.(text|motion)|microphone\.turn|camera\.turn)/;

test("both languages say the same things", () => {
  assert.deepEqual(Object.keys(phrases.fr), Object.keys(phrases.en));
});

test("both languages use the same values in each phrase", () => {
  const values = (phrase) => [...JSON.stringify(phrase).matchAll(/\{(\w+)\}/g)].map((match) => match[1]).sort();
  for (const key of Object.keys(phrases.en)) assert.deepEqual(values(phrases.fr[key]), values(phrases.en[key]), key);
});

test("every phrase is used somewhere", () => {
  const all = sources.join("\n");
  for (const key of Object.keys(phrases.en)) assert.ok(COMPOSED.test(key) || all.includes(`"${key}"`), key);
});

test("every key in the code is a phrase", () => {
  for (const source of sources) {
    const keys = [
      ...source.matchAll(/\b(?:text|label|placeholder): "([a-z][\w.-]*)"/g),
      ...source.matchAll(/\b(?:t|setText|setLabel)\((?:[\w.#]+, )?"([a-z][\w.-]*)"/g),
    ].map((match) => match[1]);
    for (const key of keys) assert.ok(key in phrases.en, key);
  }
});

test("an invented room name needs no cleaning", () => {
  for (let round = 0; round < 50; round++) {
    const name = inventRoomName();
    assert.equal(cleanRoomName(name), name);
    assert.equal(name.split("-").length, 3);
  }
});

test("what people type becomes a room name", () => {
  assert.equal(cleanRoomName("  Café de la Gare! "), "cafe-de-la-gare");
  assert.equal(cleanRoomName("https://call.example.org/r/blue-river?name=x"), "blue-river");
  assert.equal(cleanRoomName("%E9%"), "e9");
  assert.equal(cleanRoomName("x".repeat(100)).length, 64);
  assert.equal(cleanRoomName("!!"), "");
});
