// The smallest client: joins a room, says who is there, sends camera and microphone, plays what others say. See PROTOCOL.md;
// where UDP is blocked, RTCPeerConnection needs { iceServers: joined.ice_servers }.
import { SignallingClient } from "./protocol.js";

const [button, output, list, video] = ["button", "output", "ul", "video"].map((tag) => /** @type {any} */ (document.querySelector(tag)));
const room = new URLSearchParams(location.search).get("room") ?? "example";
const client = new SignallingClient(`${location.origin.replace(/^http/, "ws")}/r/${room}/ws`);
/** @type {Map<string, string>} */ let people = new Map();
/** @type {RTCPeerConnection | undefined} */ let sending;
/** @type {RTCPeerConnection | undefined} */ let receiving;
/** @type {MediaStream} */ let stream;

async function publish() {
  sending?.close();
  const connection = (sending = new RTCPeerConnection());
  const transceivers = stream.getTracks().map((track) => connection.addTransceiver(track, { direction: "sendonly" }));
  await connection.setLocalDescription();
  const tracks = transceivers.map(({ mid, sender }) => ({ mid, source: sender.track?.kind === "audio" ? "microphone" : "camera" }));
  const { sdp } = await client.request({ type: "publish", sdp: connection.localDescription?.sdp, tracks });
  await connection.setRemoteDescription({ type: "answer", sdp });
  client.send({ type: "state", microphone: true, camera: true, screen: false });
}
function show() {
  output.textContent = `${client.status}, ${people.size} others`;
  list.replaceChildren(...[...people.values()].map((textContent) => Object.assign(document.createElement("li"), { textContent })));
}
client.on("status", show);
client.on("joined", ({ participants, resumed }) => {
  people = new Map(participants.map(({ id, name }) => [id, name]));
  show();
  if (!resumed) publish();
});
client.on("participant", ({ event, participant: { id, name } }) => {
  if (event === "left") people.delete(id);
  else people.set(id, name);
  show();
});
client.on("offer", async ({ sdp, generation, fresh }) => {
  if (fresh) receiving?.close();
  const connection = fresh || !receiving ? (receiving = new RTCPeerConnection()) : receiving;
  connection.ontrack = ({ track }) => track.kind === "audio" && Object.assign(new Audio(), { srcObject: new MediaStream([track]) }).play();
  await connection.setRemoteDescription({ type: "offer", sdp });
  await connection.setLocalDescription();
  client.send({ type: "answer", sdp: connection.localDescription?.sdp, generation });
});
button.addEventListener("click", async () => {
  stream = video.srcObject = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  client.join({ name: "Example" });
});
