import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { chatText, exportName } from "../../web/js/chat-export.js";
import { fileSize, plainName } from "../../web/js/file-size.js";
import { useLanguage } from "../../web/js/language.js";

before(async () => {
  const words = readFileSync(new URL("../../web/locales/en.json", import.meta.url), "utf8");
  globalThis.document = { documentElement: {}, querySelectorAll: () => [] };
  Object.defineProperty(globalThis, "navigator", { value: { languages: ["en-GB"] }, configurable: true });
  globalThis.fetch = async () => new Response(words);
  await useLanguage("en");
});

const at = (day, hour, minute) => new Date(2026, 10, day, hour, minute).getTime() / 1000;
const line = (time, text, more = {}) => ({ id: text, participant: "bob", name: "Bob", text, time, ...more });

test("the saved chat has days, times, names and who a line was for, and nothing that was not sent", () => {
  const chat = [
    line(at(25, 9, 5), "Good morning"),
    line(at(26, 18, 30), "one\ntwo"),
    line(at(26, 18, 31), "psst", { to: "me" }),
    line(at(26, 18, 32), "yes?", { participant: "me", name: "Ann", own: true, to: "bob", receiver: "Bob" }),
    line(at(26, 18, 33), "", { file: { id: "f", name: "a.pdf", bytes: 2_300_000, expires: 0 }, gone: true }),
    line(at(26, 18, 34), "never sent", { pending: true }),
    line(at(26, 18, 35), "refused", { failed: "rate" }),
  ];
  const lines = chatText({ room: "blue-room", self: "me", chat, now: at(26, 19, 0) * 1000 }).split("\n");
  assert.match(lines[0], /^Chat of blue-room – .*26.*2026/);
  assert.deepEqual(lines.filter((each) => /^\w+day/.test(each)).length, 2);
  const said = lines.filter((each) => /^\[|^ {4}/.test(each)).map((each) => each.replace(/^\[[^\]]+\] /, ""));
  assert.deepEqual(said, [
    "Bob: Good morning",
    "Bob: one",
    "    two",
    "Bob (privately to you): psst",
    "Ann (privately to Bob): yes?",
    "Bob: sent the file a.pdf, 2.3 MB (no longer available)",
  ]);
  assert.equal(exportName("blue-room", Date.UTC(2026, 10, 26)), "blue-room 2026-11-26.txt");
});

test("sizes are rounded to what one needs to know, in the units of the language", () => {
  const sizes = [1, 999, 1000, 45_678, 999_499, 999_500, 2_345_678, 500_000_000, 12_000_000_000];
  assert.deepEqual(sizes.map((size) => fileSize(size, "en")), ["1 kB", "1 kB", "1 kB", "46 kB", "999 kB", "1 MB", "2.3 MB", "500 MB", "12 GB"]);
  assert.match(fileSize(2_345_678, "fr"), /^2,3\s+Mo$/);
});

test("a file's name cannot pretend another type by turning its text around", () => {
  assert.equal(plainName("photo\u202egpj.exe"), "photogpj.exe");
  assert.equal(plainName("تقرير.pdf"), "تقرير.pdf");
});
