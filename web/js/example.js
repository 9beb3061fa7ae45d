// The smallest client: joins the room of ?room=, sends camera and microphone, says who is there and plays what they say.
// See PROTOCOL.md; where UDP is blocked, RTCPeerConnection needs { iceServers: joined.ice_servers }.
import { SignallingClient } from "./protocol.js";

const room = new URLSearchParams(location.search).get("room") ?? "example";
const client = new SignallingClient(`${location.origin.replace(/^http/, "ws")}/r/${room}/ws`);
/** @type {Map<string, string>} */ let people = new Map();
/** @type {MediaStream} */ let stream;
/** @type {(RTCPeerConnection | undefined)[]} */ let [sending, receiving] = [];

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
const show = () => document.querySelector("ul")?.replaceChildren(...[...people.values()].map((name) => Object.assign(document.createElement("li"), { textContent: name })));

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
  const connection = (receiving = fresh || !receiving ? new RTCPeerConnection() : receiving);
  connection.ontrack = ({ track }) => track.kind === "audio" && Object.assign(new Audio(), { srcObject: new MediaStream([track]) }).play();
  await connection.setRemoteDescription({ type: "offer", sdp });
  await connection.setLocalDescription();
  client.send({ type: "answer", sdp: connection.localDescription?.sdp, generation });
});
document.querySelector("button")?.addEventListener("click", async () => {
  stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
  client.join({ name: "Example" });
});
