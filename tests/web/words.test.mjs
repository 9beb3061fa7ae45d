import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { LANGUAGES } from "../../web/js/language.js";
import { cleanRoomName, inventRoomName } from "../../web/js/room-name.js";

const WEB = new URL("../../web/", import.meta.url);
const read = (path) => readFileSync(new URL(path, WEB), "utf8");
const phrases = Object.fromEntries(Object.keys(LANGUAGES).map((code) => [code, JSON.parse(read(`locales/${code}.json`))]));
const others = Object.keys(phrases).filter((code) => code !== "en");
const sources = ["js/", "components/"].flatMap((folder) =>
  readdirSync(new URL(folder, WEB), { recursive: true })
    .filter((name) => name.endsWith(".js"))
    .map((name) => read(folder + name)),
);

/** Keys put together from parts, by what they begin with. */
const COMPOSED = /^(path\.|diag\.(check|outcome|says|device|call)\.|file\.(failed|waiting)\.|problem\.|theme\.|device\.|ended\.|refused\.|moderat|not-allowed\.|notice\.|quality\.|reaction\.|more\.|said\.|choice\.|shortcut\.|self-view\.|share\.(text|motion)|(microphone|camera)\.(turn|is)|rules\.right\.|invitations\.(hour|day|week))/;

test("every language says the same things in the same order", () => {
  for (const code of others) assert.deepEqual(Object.keys(phrases[code]), Object.keys(phrases.en), code);
});

test("every language uses the same values in each phrase", () => {
  // "One person" may be said without the number, and two of them are a word of their own in Arabic.
  const values = (phrase) => new Set([...JSON.stringify(phrase).matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
  for (const code of others) {
    for (const key of Object.keys(phrases.en)) assert.deepEqual(values(phrases[code][key]), values(phrases.en[key]), `${code}: ${key}`);
  }
});

test("every language has a form for each number", () => {
  for (const [code, words] of Object.entries(phrases)) {
    const categories = new Intl.PluralRules(code).resolvedOptions().pluralCategories.filter((each) => each !== "many" || code === "ar");
    for (const [key, phrase] of Object.entries(words)) {
      if (typeof phrase !== "string") assert.deepEqual(Object.keys(phrase).sort(), [...categories].sort(), `${code}: ${key}`);
    }
  }
});

test("no language leaves a sentence in English", () => {
  const sentences = Object.keys(phrases.en).filter((key) => /\p{L}+ \p{L}+ \p{L}+/u.test(JSON.stringify(phrases.en[key])));
  for (const code of others) {
    for (const key of sentences) assert.notDeepEqual(phrases[code][key], phrases.en[key], `${code}: ${key}`);
  }
});

test("buttons are called what is written on them, and more", () => {
  // Who speaks to the computer says what they read (WCAG 2.5.3).
  const names = {
    "controls.microphone": ["microphone.turn-on", "microphone.turn-off"],
    "controls.camera": ["camera.turn-on", "camera.turn-off"],
    "controls.share": ["share.start", "share.stop"],
    "controls.hand": ["hand.raise", "hand.lower"],
    "controls.chat": ["chat.unread"],
    "controls.leave": ["controls.leave-call"],
    questions: ["questions.new"],
  };
  for (const [code, words] of Object.entries(phrases)) {
    for (const [written, keys] of Object.entries(names)) {
      for (const name of keys.flatMap((key) => (typeof words[key] === "string" ? words[key] : Object.values(words[key])))) {
        assert.ok(name.toLowerCase().includes(words[written].toLowerCase()), `${code}: "${words[written]}" is called "${name}"`);
      }
    }
  }
});

test("French keeps its punctuation on the line of its word", () => {
  for (const [key, phrase] of Object.entries(phrases.fr)) {
    for (const text of typeof phrase === "string" ? [phrase] : Object.values(phrase)) {
      assert.doesNotMatch(text.replace(/https?:/g, ""), /[^\u00a0\u202f][;:?!»]|«[^\u00a0]|\w'\w/, key);
    }
  }
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
