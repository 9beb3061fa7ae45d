"""The ground floor that the TURN server and the SFU share: bytes, datagrams, DTLS. It imports nothing of ours."""
