// relay_peer.js under Node. Each line of stdin is a call {"id", "peer", "method", "arguments"}; "new" makes a peer. Each
// line of stdout is an answer {"id", "result"} or {"id", "error"}. Ends with stdin.
//   node relay_peer_node.js wrtc|werift
import readline from "node:readline";
import "./relay_peer.js";

const stacks = {
  wrtc: async () => (await import("@roamhq/wrtc")).default,
  werift: () => import("werift"),
};
const { RTCPeerConnection } = await stacks[process.argv[2]]();
const peers = new Map();

async function answer({ id, peer, method, arguments: given }) {
  try {
    if (method === "new") peers.set(peer, new RelayPeer(RTCPeerConnection, ...given));
    const result = method === "new" ? null : await peers.get(peer)[method](...given);
    console.log(JSON.stringify({ id, result: result ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ id, error: String(error?.stack ?? error) }));
  }
}

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => answer(JSON.parse(line)));
lines.on("close", () => process.exit(0));
