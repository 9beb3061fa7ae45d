"""GStreamer as a WHIP publisher or a WHEP player, with nothing but its webrtcbin and urllib.

Prints a JSON line each second: {"video": frames decoded, "audio": buffers decoded, "state": of the connection}; ends
with stdin, by DELETE. Run it with the system's Python, where the bindings are.

    python3 gstreamer_whip.py publish https://host:8443/r/room/whip [--token T] [--codec h264]
    python3 gstreamer_whip.py play https://host:8443/r/room/whep [--token T]
"""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import threading
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "vp8": "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=400000 ! rtpvp8pay pt=96 "
    "picture-id-mode=15-bit ! application/x-rtp,media=video,encoding-name=VP8,payload=96",
    "h264": "openh264enc gop-size=60 bitrate=400000 complexity=low ! video/x-h264,profile=constrained-baseline ! "
    "h264parse ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency ! "
    "application/x-rtp,media=video,encoding-name=H264,payload=96",
}
SOURCES = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! videoconvert ! "
    "queue ! {encoder} ! client. "
    "audiotestsrc is-live=true wave=ticks ! audioconvert ! audioresample ! queue ! opusenc ! rtpopuspay pt=111 ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! client."
)
RECEIVED = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
    "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,rtcp-fb-nack-pli=(boolean)true;"
    "application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,packetization-mode=(string)1,"
    "rtcp-fb-nack-pli=(boolean)true",
)


class Client:
    """One webrtcbin and its session URL."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.counts = {"video": 0, "audio": 0}
        self.session_url = ""
        self.trust = ssl.create_default_context()
        self.trust.check_hostname, self.trust.verify_mode = False, ssl.CERT_NONE
        sources = SOURCES.format(encoder=ENCODERS[options.codec]) if options.role == "publish" else ""
        self.pipeline = Gst.parse_launch(f"webrtcbin name=client bundle-policy=max-bundle {sources} fakesink")
        self.client = self.pipeline.get_by_name("client")
        self.client.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.client.connect("pad-added", self.on_pad)
        if options.role == "play":
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            for caps in RECEIVED:
                self.client.emit("add-transceiver", direction, Gst.Caps.from_string(caps))

    def on_negotiation_needed(self, _: Any) -> None:
        """Asks for an offer."""
        self.client.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer, None))

    def on_offer(self, promise: Any, _: Any) -> None:
        """Posts the offer, without waiting for any candidate, and takes the answer."""
        reply = promise.get_reply()  # owns the offer
        offer = reply.get_value("offer")
        self.client.emit("set-local-description", offer, None)
        request = self.request("POST", self.options.url, offer.sdp.as_text().encode(), "application/sdp")
        with urllib.request.urlopen(request, context=self.trust) as response:
            self.session_url = urllib.parse.urljoin(response.url, response.headers["Location"])
            text = response.read().decode()
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.client.emit("set-remote-description", answer, None)

    def request(self, method: str, url: str, body: bytes | None = None, kind: str = "") -> urllib.request.Request:
        """An HTTP request with the token, if there is one."""
        headers = {"Content-Type": kind} if kind else {}
        if self.options.token:
            headers["Authorization"] = f"Bearer {self.options.token}"
        return urllib.request.Request(url, body, headers, method=method)

    def on_pad(self, _: Any, pad: Any) -> None:
        """Decodes what comes and counts it."""
        if pad.direction != Gst.PadDirection.SRC:
            return
        decoder = Gst.ElementFactory.make("decodebin")
        decoder.connect("pad-added", self.on_decoded)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def on_decoded(self, _: Any, pad: Any) -> None:
        """A decoded stream: every buffer of it counts."""
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("sync", False)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))
        kind = pad.get_current_caps().get_structure(0).get_name().partition("/")[0]
        pad.add_probe(Gst.PadProbeType.BUFFER, self.on_buffer, kind)

    def on_buffer(self, _pad: Any, _info: Any, kind: str) -> Any:
        """One frame, or one piece of sound."""
        self.counts[kind] += 1
        return Gst.PadProbeReturn.OK

    def report(self) -> bool:
        """Prints the counts."""
        state = self.client.get_property("connection-state").value_nick
        print(json.dumps({**self.counts, "state": state}), flush=True)
        return True

    def end(self) -> int:
        """DELETEs the session; the status."""
        self.pipeline.set_state(Gst.State.NULL)
        if not self.session_url:
            return 0
        with urllib.request.urlopen(self.request("DELETE", self.session_url), context=self.trust) as response:
            return int(response.status)


def main() -> None:
    """Runs until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("publish", "play"))
    parser.add_argument("url")
    parser.add_argument("--token", default="")
    parser.add_argument("--codec", choices=tuple(ENCODERS), default="vp8")
    Gst.init(None)
    client = Client(parser.parse_args())
    loop = GLib.MainLoop()

    def wait() -> None:
        sys.stdin.read()
        GLib.idle_add(loop.quit)

    threading.Thread(target=wait, daemon=True).start()
    GLib.timeout_add_seconds(1, client.report)
    client.pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    print(json.dumps({"deleted": client.end()}), flush=True)


if __name__ == "__main__":
    main()
