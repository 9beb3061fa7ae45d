"""The one table of metric names: what Prometheus is told about each, and which labels it has.

Names as components give them, without the prefix `turnd_`. A component may not invent a name: declare it here.
"""

from __future__ import annotations

from typing import NamedTuple


class Declaration(NamedTuple):
    """Kind (`counter`, `gauge`, `histogram`, `info`), help and label names of one metric."""

    kind: str
    help: str
    labels: tuple[str, ...] = ()


def _counter(text: str, *labels: str) -> Declaration:
    return Declaration("counter", text, labels)


def _gauge(text: str, *labels: str) -> Declaration:
    return Declaration("gauge", text, labels)


def _histogram(text: str, *labels: str) -> Declaration:
    return Declaration("histogram", text, labels)


METRICS: dict[str, Declaration] = {
    # the process
    "build": Declaration("info", "Version of turnd and of Python.", ("version", "python")),
    "eventloop_lag_seconds": _histogram("How late a timer of the event loop fires."),
    "draining": _gauge("1 while shutting down and refusing newcomers."),
    "eventloop_errors_total": _counter("Exceptions nobody expected in a callback of the event loop."),
    "reloads_total": _counter("Configuration reloads.", "result"),
    # sockets
    "udp_datagrams_total": _counter("UDP datagrams that went through the kernel.", "direction", "component"),
    "udp_bytes_total": _counter(
        "Payload bytes of UDP datagrams that went through the kernel.", "direction", "component"
    ),
    "udp_memory_deliveries_total": _counter(
        "Datagrams to our own addresses that never reached the kernel.", "component"
    ),
    "udp_gso_sends_total": _counter("Sends that took a run of equal datagrams at once.", "component"),
    "udp_gro_receives_total": _counter("Receives that brought several datagrams at once.", "component"),
    "udp_receive_errors_total": _counter("Datagrams lost on the way in.", "reason"),
    "udp_send_errors_total": _counter("Datagrams lost on the way out.", "reason"),
    "https_port_connections": _gauge("Open connections on the page's ports.", "protocol"),
    "https_port_connections_total": _counter("Connections on the page's ports by what became of them.", "result"),
    # TURN
    "stun_requests_total": _counter("STUN requests to the TURN ports.", "transport", "result"),
    "turn_allocations": _gauge("Relayed addresses of allocations now.", "transport", "family"),
    "turn_allocations_total": _counter("Allocate requests by outcome.", "result"),
    "turn_allocation_seconds": _histogram("How long allocations lived."),
    "turn_mobility_moves_total": _counter("Refresh requests with a ticket by outcome, and moves completed.", "result"),
    "turn_permissions": _gauge("Permissions now."),
    "turn_channels": _gauge("Channels now."),
    "turn_connections": _gauge("TCP, TLS and DTLS connections to the TURN server.", "transport"),
    "turn_dtls_handshakes_total": _counter("DTLS handshakes of TURN clients by outcome.", "result"),
    "turn_dtls_drops_total": _counter("DTLS datagrams of TURN clients not used, not answered or not sent.", "reason"),
    "turn_relayed_bytes_total": _counter("Payload bytes relayed.", "direction"),
    "turn_relayed_packets_total": _counter("Datagrams relayed.", "direction"),
    "turn_dropped_packets_total": _counter("Datagrams not relayed.", "reason"),
    "turn_dropped_bytes_total": _counter("Payload bytes not relayed because of a bound of bandwidth.", "reason"),
    "turn_icmp_total": _counter("ICMP errors about relayed datagrams told to clients."),
    "turn_tcp_allocations": _gauge("Allocations that relay TCP now."),
    "turn_tcp_connections": _gauge("Connections between TCP allocations and peers now.", "state"),
    "turn_tcp_connections_total": _counter("Connections of TCP allocations by what became of them.", "result"),
    "turn_auth_failures_total": _counter("Requests with credentials that do not hold.", "reason"),
    "turn_denied_peers_total": _counter("Peers the policy denies.", "reason"),
    # connections of the SFU
    "ice_connections_total": _counter("ICE connections by outcome.", "result"),
    "ice_connect_seconds": _histogram("From the answer to the first checked pair."),
    "ice_selected_pairs": _gauge("Connected peer connections by path.", "path"),
    "ice_restarts_total": _counter("ICE restarts by outcome.", "result"),
    "dtls_handshakes_total": _counter("DTLS handshakes by outcome.", "result"),
    "dtls_handshake_seconds": _histogram("Duration of DTLS handshakes."),
    "srtp_errors_total": _counter("SRTP and SRTCP packets that failed.", "reason"),
    "sfu_dropped_packets_total": _counter("Datagrams the SFU did not use.", "reason"),
    # media
    "tracks": _gauge("Tracks now.", "direction", "kind", "source"),
    "rtp_bytes_total": _counter("RTP payload bytes.", "direction", "kind"),
    "rtp_packets_total": _counter("RTP packets.", "direction", "kind"),
    "rtp_lost_packets_total": _counter("RTP packets that did not arrive.", "direction", "kind"),
    "rtp_retransmitted_packets_total": _counter("RTP packets sent again on request."),
    "rtp_padding_packets_total": _counter("RTX packets sent to find out what a receiver's path takes."),
    "rtp_padding_bytes_total": _counter("Bytes of them, with IP and UDP headers."),
    "downlink_probes_total": _counter("Attempts to find out whether a receiver's path takes more.", "result"),
    "rtcp_messages_total": _counter("RTCP messages.", "direction", "type"),
    "rtp_jitter_seconds": _histogram("Interarrival jitter from receiver reports."),
    "rtp_rtt_seconds": _histogram("Round-trip time from receiver reports."),
    "forward_seconds": _histogram("From a packet's arrival to its copies being sent."),
    "first_frame_seconds": _histogram("From subscribing, or the first picture that is there, to its first keyframe."),
    "layer_switches_total": _counter("Changes of the forwarded layer.", "direction"),
    "paused_subscriptions": _gauge("Slots that forward nothing although they could.", "reason"),
    "downlink_estimate_bytes_per_second": _histogram("What the paths to subscribers take, once a second each."),
    "uplink_budget_bytes_per_second": _gauge("The configured uplink budget, 0: unlimited."),
    "uplink_used_bytes_per_second": _gauge("What the SFU sent in the last second, headers included."),
    # signalling
    "rooms": _gauge("Rooms now."),
    "room_seconds": _histogram("How long rooms existed."),
    "participants": _gauge("Participants now.", "role"),
    "lobby_visitors": _gauge("People who wait for a host to let them in."),
    "joins_waiting": _gauge("Joins and negotiations waiting for their turn."),
    "whip_sessions": _gauge("Participants who send over WHIP now."),
    "whep_sessions": _gauge("Participants who receive over WHEP now."),
    "joins_total": _counter("Joins by outcome.", "result"),
    "refusals_total": _counter("Errors that clients were answered with.", "code"),
    "join_seconds": _histogram("From the open socket to being in the room."),
    "reconnects_total": _counter("Seats taken back by outcome.", "result"),
    "websocket_connections": _gauge("Open WebSockets."),
    "websocket_messages_total": _counter("WebSocket messages.", "direction", "type"),
    "websocket_closes_total": _counter("Closed WebSockets.", "code"),
    "http_requests_total": _counter("HTTP requests.", "route", "method", "code"),
    "http_request_seconds": _histogram("Duration of HTTP requests."),
    "auth_failures_total": _counter("Refused passwords and tokens.", "kind"),
    "rate_limited_total": _counter(
        "What was refused because it came too often or from one address too many times.", "scope"
    ),
    "diag_bytes_total": _counter("Bytes of visitors who measured their line.", "direction"),
    "stored_rooms": _gauge("Rooms nobody is in that wait for somebody to come back."),
    "database_writes_waiting": _gauge("Changes that wait to be written to the database."),
    "database_errors_total": _counter("Changes the database did not take, and rows that could not be read."),
    "files": _gauge("Files in rooms now."),
    "files_stored_bytes": _gauge("Bytes of files and of uploads under way."),
    "files_bytes_total": _counter("Bytes of files that came and went.", "direction"),
    "files_errors_total": _counter("Writes of files that the disk refused."),
    "uploads": _gauge("Uploads under way now."),
    "uploads_total": _counter("Uploads by what became of them.", "result"),
    "downloads": _gauge("Downloads under way now."),
    "signalling_errors_total": _counter("Exceptions nobody expected while answering clients."),
    # operations
    "certificate_expiry_timestamp_seconds": _gauge("When the TLS certificate expires."),
    "public_address_changes_total": _counter("Changes of the outside address.", "family"),
}
