"""The TURN server: RFC 8656 over UDP, TCP and TLS. Cores without input or output, one compiled path, one adapter."""
