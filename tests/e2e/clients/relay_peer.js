// One side of a relay-only call with a data channel, written against the W3C's API alone: runs in a browser's blank page
// and, with another stack's RTCPeerConnection, under Node. The test carries descriptions from one side to the other.

globalThis.RelayPeer = class {
  constructor(RTCPeerConnection, iceServer) {
    this.connection = new RTCPeerConnection({ iceServers: [iceServer], iceTransportPolicy: "relay" });
    this.channel = this.connection.createDataChannel("numbers", { negotiated: true, id: 1 });
    this.channel.binaryType = "arraybuffer";
    this.received = [];
    this.candidates = [];
    this.connection.onicecandidate = ({ candidate }) => {
      this.candidates.push(candidate?.candidate ? (candidate.toJSON?.() ?? candidate) : null);
      this.gathered?.();
    };
    this.opened = new Promise((resolve) => (this.channel.onopen = resolve));
    this.channel.onmessage = (event) => {
      this.received.push(new Uint8Array(event.data));
      this.arrived?.();
    };
  }

  // A description without candidates: those follow one by one, as a real page sends them.
  async offer() {
    return this.describe(await this.connection.createOffer());
  }

  async answer(sdp) {
    await this.connection.setRemoteDescription({ type: "offer", sdp });
    return this.describe(await this.connection.createAnswer());
  }

  async accept(sdp) {
    await this.connection.setRemoteDescription({ type: "answer", sdp });
  }

  async describe(description) {
    await this.connection.setLocalDescription(description);
    return this.connection.localDescription.sdp;
  }

  // The next local candidate as it goes over the wire; null after the last.
  async candidate() {
    while (!this.candidates.length) await new Promise((resolve) => (this.gathered = resolve));
    return this.candidates.shift();
  }

  async add(candidate) {
    await this.connection.addIceCandidate(candidate);
  }

  // Awaits the open channel; both ends of the selected pair.
  async pair() {
    await this.opened;
    const report = new Map([...(await this.connection.getStats()).values()].map((stats) => [stats.id, stats]));
    const all = [...report.values()];
    const transport = all.find((stats) => stats.type === "transport" && stats.selectedCandidatePairId);
    const pair = report.get(transport?.selectedCandidatePairId)
      ?? all.find((stats) => stats.type === "candidate-pair" && stats.nominated && stats.state === "succeeded");
    const [local, remote] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
    return { local: local.candidateType, remote: remote.candidateType, relay: local.relayProtocol ?? null,
      address: local.address ?? null };
  }

  // Message `number` of `from`: its number, then bytes that belong to it alone.
  message(from, number, size) {
    const bytes = new Uint8Array(size);
    for (let i = 4; i < size; i += 1) bytes[i] = number * 31 + i * 7 + from;
    new DataView(bytes.buffer).setUint32(0, number);
    return bytes;
  }

  // Sends a message of each size as side `from`, never more than `window` ahead of what came from the other side, and
  // awaits as many of it; how many were as they should be.
  async exchange(from, sizes, window) {
    for (const [number, size] of sizes.entries()) {
      while (this.received.length < number - window) await this.next();
      this.channel.send(this.message(from, number, size));
    }
    while (this.received.length < sizes.length) await this.next();
    const right = this.received.filter((bytes, number) => {
      const expected = this.message(1 - from, number, sizes[number] ?? 4);
      return bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
    });
    return { received: this.received.length, right: right.length };
  }

  next() {
    return new Promise((resolve) => (this.arrived = resolve));
  }

  async close() {
    await this.connection.close();
  }
};
