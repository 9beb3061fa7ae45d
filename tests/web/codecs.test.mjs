import assert from "node:assert/strict";
import { test } from "node:test";
import { describe, repeatSound } from "../../web/js/codecs.js";

const OFFER = [
  "v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "a=rtpmap:111 opus/48000/2", "a=rtcp-fb:111 transport-cc", "a=rtpmap:0 PCMU/8000",
  "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "",
].join("\r\n");

test("lost sound is asked for again, once a payload type", () => {
  const changed = repeatSound(OFFER);
  assert.deepEqual(changed.split("\r\n").filter((line) => !OFFER.split("\r\n").includes(line)), ["a=rtcp-fb:111 nack"]);
  assert.match(changed, /opus\/48000\/2\r\na=rtcp-fb:111 nack\r\n/);
  assert.equal(repeatSound(changed), changed);
});

test("a browser that takes only its own words gets them", async () => {
  const taken = [];
  const setLocalDescription = async (description) => {
    if (description.sdp !== OFFER) throw new Error("not mine");
    taken.push(description);
  };
  await describe({ setLocalDescription }, { type: "offer", sdp: OFFER });
  assert.deepEqual(taken, [{ type: "offer", sdp: OFFER }]);
});
