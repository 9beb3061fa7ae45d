from typing import Any

from pylibsrtp import Policy

from sfu import rtcp
from sfu.ice_lite import CONNECT_SECONDS, CONSENT_SECONDS
from sfu.sdp import Transport
from sfu.transport import REST_SECONDS, PeerTransport, State
from tests.sfu.peers import CONTEXT, LOCAL, OTHER_CONTEXT, REMOTE, EndpointDouble, check, connect, path_of, shake


class Owner:
    def __init__(self) -> None:
        self.states: list[State] = []
        self.packets: list[Any] = []
        self.wake_at = float("inf")

    def transport_changed(self, state: State, now: float) -> None:
        self.states.append(state)

    def rtcp_received(self, packets: Any, now: float, arrived_at: float) -> None:
        self.packets += packets


def description(context: Any = OTHER_CONTEXT, setup: str = "active") -> Transport:
    algorithm, _, digest = context.fingerprint.partition(" ")
    return Transport("peer", "x" * 22, ((algorithm, digest),), setup)


def made() -> tuple[EndpointDouble, PeerTransport, Owner]:
    endpoint = EndpointDouble()
    transport, owner = endpoint.transport(), Owner()
    transport.owner = owner
    return endpoint, transport, owner


def test_a_checked_and_shaken_connection_gets_the_keys_both_ends_have() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    peer = connect(transport, endpoint.clock)
    assert owner.states == [State.CONNECTED]
    profile, local_key, remote_key = path_of(transport).keys
    keys = peer.srtp_keys()
    assert profile == Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    assert (local_key, remote_key) == (keys.remote_key, keys.local_key)
    assert path_of(transport).pair == (REMOTE, LOCAL)
    assert endpoint.counters.dtls_handshakes["connected"] == 1
    assert endpoint.counters.ice_connections["connected"] == 1


def test_dtls_goes_ahead_of_the_answer_but_keys_wait_for_it() -> None:
    endpoint, transport, owner = made()
    peer = connect(transport, endpoint.clock)
    assert peer.state == "connected"
    assert path_of(transport).keys is None
    transport.set_remote(description(), client=False, now=endpoint.clock)
    assert path_of(transport).keys is not None
    assert owner.states == [State.CONNECTED]


def test_a_certificate_that_is_not_in_the_description_gets_no_keys() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(CONTEXT), client=False, now=endpoint.clock)
    connect(transport, endpoint.clock)
    assert path_of(transport).keys is None
    assert owner.states == [State.FAILED]
    assert endpoint.counters.dtls_handshakes["fingerprint"] == 1


def test_we_open_the_handshake_of_a_passive_peer() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(setup="passive"), client=True, now=endpoint.clock)
    assert path_of(transport).sent == []
    check(transport, endpoint.clock)
    assert path_of(transport).sent
    shake_server = OTHER_CONTEXT.server()
    shake(transport, shake_server, endpoint.clock)
    assert owner.states == [State.CONNECTED]


def test_a_check_registers_its_address_and_selects_it() -> None:
    endpoint, transport, _ = made()
    socket = check(transport, endpoint.clock)
    assert len(socket.sent) == 1
    assert path_of(transport).remotes == [(REMOTE, LOCAL)]


def test_every_check_claims_its_address_again() -> None:
    endpoint, transport, _ = made()
    for _ in range(2):
        check(transport, endpoint.clock)
    assert path_of(transport).remotes == [(REMOTE, LOCAL)] * 2


def test_a_check_from_the_address_of_a_living_connection_is_not_answered() -> None:
    endpoint, transport, _ = made()
    path_of(transport).taken.add(REMOTE)
    assert check(transport, endpoint.clock).sent == []
    assert transport.ice.pair is None
    assert path_of(transport).remotes == []


def test_a_peer_that_never_comes_is_reported() -> None:
    endpoint, transport, owner = made()
    transport.handle_timer(endpoint.clock + CONNECT_SECONDS)
    assert owner.states == [State.FAILED]
    assert endpoint.counters.ice_connections["failed"] == 1


def test_lost_consent_is_reported_and_a_restart_brings_it_back() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    connect(transport, endpoint.clock)
    transport.handle_timer(endpoint.clock + CONSENT_SECONDS + 1)
    old = transport.credentials
    transport.restart_ice(endpoint.clock + 40)
    assert transport.credentials != old
    check(transport, endpoint.clock + 41)
    assert owner.states == [State.CONNECTED, State.FAILED, State.CONNECTED]
    assert set(endpoint.registry) == {transport.credentials.ufrag}
    assert endpoint.counters.ice_restarts == {"started": 1, "succeeded": 1}


def test_during_a_restart_both_fragments_lead_here() -> None:
    endpoint, transport, _ = made()
    check(transport, endpoint.clock)
    old = transport.credentials.ufrag
    transport.restart_ice(endpoint.clock)
    assert set(endpoint.registry) == {old, transport.credentials.ufrag}


def test_the_peers_goodbye_ends_the_connection() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    peer = connect(transport, endpoint.clock)
    peer.close()
    for datagram in peer.datagrams_to_send():
        transport.receive_dtls(datagram, endpoint.clock)
    assert owner.states[-1] is State.FAILED


def test_closing_gives_everything_back() -> None:
    endpoint, transport, _ = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    connect(transport, endpoint.clock)
    transport.close(endpoint.clock)
    transport.close(endpoint.clock)
    assert endpoint.registry == {}
    assert path_of(transport).closed
    assert transport.next_timer() == float("inf")


def test_garbage_rtcp_is_counted_and_the_rest_passed_on() -> None:
    endpoint, transport, owner = made()
    transport.receive_rtcp(b"\x00\x01", endpoint.clock, endpoint.clock)
    transport.receive_rtcp(rtcp.build_compound([rtcp.PictureLoss(1, 2)]), endpoint.clock, endpoint.clock)
    assert owner.packets == [rtcp.PictureLoss(1, 2)]
    assert endpoint.counters.rtcp_in == {"malformed": 1, "pli": 1}


def test_rtcp_waits_for_the_connection() -> None:
    endpoint, transport, _ = made()
    transport.send_rtcp([rtcp.PictureLoss(1, 2)])
    assert path_of(transport).sent_rtcp == []
    transport.set_remote(description(), client=False, now=endpoint.clock)
    connect(transport, endpoint.clock)
    transport.send_rtcp([rtcp.PictureLoss(1, 2)])
    assert path_of(transport).sent_rtcp == [rtcp.PictureLoss(1, 2)]


def test_garbage_dtls_changes_nothing() -> None:
    endpoint, transport, _ = made()
    check(transport, endpoint.clock)
    for data in (b"", b"\x16", b"\x16\xfe\xfd" + bytes(40), b"\x14" * 100):
        transport.receive_dtls(data, endpoint.clock)
    transport.set_remote(description(), client=False, now=endpoint.clock)
    connect(transport, endpoint.clock)
    assert transport.state is State.CONNECTED


def test_a_lost_flight_of_ours_is_sent_again_when_the_timer_says() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(setup="passive"), client=True, now=endpoint.clock)
    check(transport, endpoint.clock)
    path = path_of(transport)
    lost, path.sent = path.sent, []
    assert lost
    assert owner.wake_at < endpoint.clock + 1
    transport.handle_timer(owner.wake_at)
    assert path.sent


def test_openssl_is_let_go_once_the_peer_has_sent_srtp_and_goodbyes_still_pass() -> None:
    endpoint, transport, owner = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    peer = connect(transport, endpoint.clock)
    transport.handle_timer(endpoint.clock + REST_SECONDS)
    assert endpoint.counters.dtls_rested == 0
    path_of(transport).last_received_at = endpoint.clock + 3
    transport.handle_timer(endpoint.clock + 2 * REST_SECONDS)
    assert endpoint.counters.dtls_rested == 1
    peer.close()
    for datagram in peer.datagrams_to_send():
        transport.receive_dtls(datagram, endpoint.clock + 5)
    assert owner.states == [State.CONNECTED, State.FAILED]


def test_who_closes_after_openssl_was_let_go_says_goodbye() -> None:
    endpoint, transport, _ = made()
    transport.set_remote(description(), client=False, now=endpoint.clock)
    peer = connect(transport, endpoint.clock)
    path_of(transport).last_received_at = endpoint.clock
    transport.handle_timer(endpoint.clock + REST_SECONDS)
    path_of(transport).sent.clear()
    transport.close(endpoint.clock + 3)
    for datagram in path_of(transport).sent:
        peer.receive_datagram(datagram, endpoint.clock + 3)
    assert peer.state == "closed"
