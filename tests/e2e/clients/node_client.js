// A stranger's client written from PROTOCOL.md with @roamhq/wrtc (libwebrtc) and ws.
// Prints a JSON line each second: {"video": frames decoded, "audio": packets received, "participants": n}. Ends with stdin.
//   node node_client.js wss://host:8443/r/room/ws NAME
import wrtc from "@roamhq/wrtc";
import WebSocket from "ws";

const { RTCPeerConnection, nonstandard } = wrtc;
const [url, name] = process.argv.slice(2);
const socket = new WebSocket(url, { rejectUnauthorized: false });
const participants = new Set();
let publish = null;
let subscribe = null;

const send = (message) => socket.send(JSON.stringify(message));

function camera() {
  const source = new nonstandard.RTCVideoSource();
  const [width, height] = [320, 240];
  const data = new Uint8ClampedArray(width * height * 1.5);
  let frame = 0;
  setInterval(() => {
    data.fill((frame += 3) % 256, 0, width * height / 2).fill(128, width * height / 2);
    source.onFrame({ width, height, data });
  }, 50);
  return source.createTrack();
}

function microphone() {
  const source = new nonstandard.RTCAudioSource();
  const samples = new Int16Array(480);
  let phase = 0;
  setInterval(() => {
    for (let i = 0; i < samples.length; i += 1) samples[i] = 8000 * Math.sin((phase += 0.05));
    source.onData({ samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
  }, 10);
  return source.createTrack();
}

async function offer() {
  publish = new RTCPeerConnection();
  const sources = new Map([
    [publish.addTransceiver(microphone(), { direction: "sendonly" }), "microphone"],
    [publish.addTransceiver(camera(), { direction: "sendonly" }), "camera"],
  ]);
  await publish.setLocalDescription(await publish.createOffer());
  const tracks = [...sources].map(([transceiver, source]) => ({ mid: transceiver.mid, source }));
  send({ type: "publish", sdp: publish.localDescription.sdp, tracks });
}

const handlers = {
  joined: async (message) => {
    for (const one of message.participants) participants.add(one.id);
    await offer();
  },
  published: (message) => publish.setRemoteDescription({ type: "answer", sdp: message.sdp }),
  offer: async (message) => {
    if (!subscribe || message.fresh) subscribe = new RTCPeerConnection();
    await subscribe.setRemoteDescription({ type: "offer", sdp: message.sdp });
    await subscribe.setLocalDescription(await subscribe.createAnswer());
    send({ type: "answer", sdp: subscribe.localDescription.sdp, generation: message.generation });
  },
  participant: (message) => {
    if (message.event === "left") participants.delete(message.participant.id);
    else participants.add(message.participant.id);
  },
  ping: () => send({ type: "pong" }),
  error: (message) => console.error(JSON.stringify(message)),
};

let queue = Promise.resolve();
socket.on("message", (text) => {
  const message = JSON.parse(text);
  queue = queue.then(() => handlers[message.type]?.(message)).catch((error) => console.error(error));
});
socket.on("open", () => send({ type: "join", version: 1, name }));
socket.on("close", () => process.exit(0));
process.stdin.on("end", () => socket.close()).resume();

setInterval(async () => {
  const count = { video: 0, audio: 0, participants: participants.size };
  for (const report of subscribe ? (await subscribe.getStats()).values() : []) {
    if (report.type !== "inbound-rtp") continue;
    if (report.kind === "video") count.video += report.framesDecoded ?? 0;
    else count.audio += report.packetsReceived ?? 0;
  }
  console.log(JSON.stringify(count));
}, 1000);
