import socket

import pytest

from turnd.config_values import Endpoint
from turnd.listeners import PortError, tcp_listener


def test_a_taken_port_is_one_sentence_with_key_and_value() -> None:
    with tcp_listener("http.listen", Endpoint("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortError, match=rf"^http.listen = 127.0.0.1:{port}: .*another process has it$"):
            tcp_listener("http.listen", Endpoint("127.0.0.1", port))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortError, match="this machine has no such address"):
        tcp_listener("metrics.listen", Endpoint("203.0.113.254", 0))


def test_the_ipv6_wildcard_takes_ipv4_too() -> None:
    with tcp_listener("http.tls_listen", Endpoint("::", 0)) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=5).close()
