from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.config import MAX_FILE_BYTES, Config, ConfigError, differences, load
from turnd.config_values import Endpoint
from turnd.turn.credentials import StoredKeys

REPOSITORY = Path(__file__).resolve().parents[2]


def errors_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "turnd.toml"
    path.write_text(text)
    try:
        load(path)
    except ConfigError as error:
        return error.errors
    return []


def test_without_a_file_everything_has_its_default() -> None:
    config = load(None)
    assert config == Config()
    assert config.http.listen == Endpoint("127.0.0.1", 8080)
    assert config.turn.relay_ports == (40000, 40100)


def test_the_example_file_has_every_key_with_its_default() -> None:
    path = REPOSITORY / "conf" / "turnd.toml"
    assert load(path) == Config()
    text = path.read_text()
    for key in (
        "tls_listen",
        "allow_peers",
        "uplink_bps",
        "keep_hours",
        "room_bytes",
        "public_host",
        "relay_ports",
        "level",
        "state_dir",
    ):
        assert f"\n{key} = " in text


# Section, key, refused value as TOML, a piece of what is said to be allowed.
REFUSED = [
    ("", "state_dir", "5", "text in quotes"),
    ("", "state_dir", '""', "path of a directory"),
    ("", "state_dir", '"/etc/passwd"', "must be a directory"),
    ("http", "listen", '"localhost:80"', '"address:port"'),
    ("http", "listen", '":80"', '"address:port"'),
    ("http", "listen", '"127.0.0.1"', '"address:port"'),
    ("http", "listen", '"127.0.0.1:65536"', '"address:port"'),
    ("http", "listen", '"127.0.0.1:-1"', '"address:port"'),
    ("http", "listen", '"::1:80"', '"address:port"'),
    ("http", "listen", '"[127.0.0.1]:80"', '"address:port"'),
    ("http", "tls_listen", "8443", "text in quotes"),
    ("http", "certificate", '"/nowhere/cert.pem"', "an existing file"),
    ("http", "public_host", '"meet.example.org:443"', "host name without port"),
    ("http", "public_host", '"-"', "host name"),
    ("http", "origins", '["example.org"]', "an origin without path"),
    ("http", "origins", '["https://example.org/"]', "an origin without path"),
    ("http", "embed", '["https://example.org;script-src *"]', "an origin without path"),
    ("http", "origins", '["wss://example.org"]', "an origin without path"),
    ("turn", "listen", "[]", "1 to 1024 items"),
    ("turn", "listen", '"0.0.0.0"', "must be a list"),
    ("turn", "listen", '["::1", "fe80::1%eth0"]', "item 2 must be an IP address without %zone"),
    ("turn", "port", "0", "from 1 to 65535"),
    ("turn", "port", "65536", "from 1 to 65535"),
    ("turn", "port", "true", "whole number"),
    ("turn", "port", "3478.0", "whole number"),
    ("turn", "relay_ports", "[40000]", "two ports"),
    ("turn", "relay_ports", "[40100, 40000]", "first not above last"),
    ("turn", "relay_ports", "[1023, 40000]", "1024 to 65535"),
    ("turn", "realm", '""', "1 to 127 characters"),
    ("turn", "realm", f'"{"r" * 128}"', "1 to 127 characters"),
    ("turn", "secrets", '[""]', "16 characters or more"),
    ("turn", "secrets", f'["{"s" * 16}", "{"s" * 15}"]', "item 2 must be text of 16 characters or more"),
    ("turn", "users", "[]", "a table of names"),
    ("turn", "users", '{ "a:b" = "x" }', "no colon"),
    ("turn", "users", '{ a = "" }', "not empty"),
    ("turn", "users", f'{{ {"u" * 509} = "x" }}', "1 to 508 bytes"),
    ("turn", "users", "{ a = 5 }", "not empty, or its keys"),
    ("turn", "users", '{ a = { md5 = "00" } }', "32 and sha256 with 64 hexadecimal digits"),
    ("turn", "users", f'{{ a = {{ md5 = "{"0" * 32}", sha256 = "{"g" * 64}" }} }}', "hexadecimal"),
    ("turn", "users", f'{{ a = {{ md5 = "{"0" * 31}", sha256 = "{"0" * 64}" }} }}', "hexadecimal"),
    ("turn", "users", f'{{ a = {{ md5 = 5, sha256 = "{"0" * 64}" }} }}', "hexadecimal"),
    ("turn", "rfc5766_channels", '"yes"', "true or false"),
    ("turn", "max_allocations", "0", "1 or more"),
    ("turn", "max_allocations_of_user", "0", "1 or more"),
    ("turn", "max_permissions", "257", "from 1 to 256"),
    ("turn", "max_channels", "129", "from 0 to 128"),
    ("turn", "allocation_bps", "-1", "from 16000 to 1000000000000, or 0"),
    ("turn", "allocation_bps", "15999", "from 16000 to 1000000000000, or 0"),
    ("turn", "allocation_bps", "false", "from 16000 to 1000000000000, or 0"),
    ("turn", "total_bps", "1000000000001", "from 16000 to 1000000000000, or 0"),
    ("turn", "total_bps", "7", "from 16000 to 1000000000000, or 0"),
    ("turn", "total_bps", "1.5e6", "whole number"),
    ("turn", "userhash", "1", "true or false"),
    ("turn", "allow_peers", '["10.0.0.1/8"]', "host bits are set"),
    ("turn", "allow_peers", '["everything"]', "CIDR"),
    ("turn", "tcp_relay", "1", "true or false"),
    ("turn", "tcp_relay", '"yes"', "true or false"),
    ("turn", "mobility", "1", "true or false"),
    ("sfu", "uplink_bps", "-1", "0 or more"),
    ("rooms", "keep_hours", "-1", "from 0 to 8784"),
    ("rooms", "keep_hours", "0.5", "whole number"),
    ("files", "max_bytes", "-1", "from 0 to 100000000000000"),
    ("files", "max_bytes", '"2 GiB"', "whole number"),
    ("files", "room_bytes", "100000000000001", "from 0 to 100000000000000"),
    ("files", "keep_hours", "0", "from 1 to 8784"),
    ("files", "uploads_of_seat", "0", "from 1 to 100"),
    ("files", "download_bps", "15999", "from 16000 to 1000000000000, or 0"),
    ("files", "max_bytes", "5000000000", "must not be more than files.room_bytes = 4294967296"),
    ("addresses", "public", '["127.0.0.1"]', "other machines can reach"),
    ("addresses", "public", '["0.0.0.0"]', "other machines can reach"),
    ("metrics", "listen", '"9641"', '"address:port"'),
    ("log", "format", '"xml"', '"auto", "text", "json"'),
    ("log", "level", '"loud"', '"debug", "info"'),
]


@pytest.mark.parametrize(("section", "key", "value", "allowed"), REFUSED)
def test_a_refused_value_is_named_with_what_is_allowed(
    tmp_path: Path, section: str, key: str, value: str, allowed: str
) -> None:
    header = f"[{section}]\n" if section else ""
    errors = errors_of(tmp_path, f"{header}{key} = {value}\n")
    name = f"{section}.{key}" if section else key
    assert errors
    assert errors[0].startswith(f"{name} = ")
    assert allowed in errors[0]
    assert "\n" not in errors[0]


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    errors = errors_of(tmp_path, 'prot = 1\n[turn]\nport = 0\nrealm = ""\n[sfu]\nport = "x"\n[log]\nlevel = 3\n')
    assert [error.split()[0] for error in errors] == ["prot:", "turn.port", "turn.realm", "sfu.port", "log.level"]


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[turn]\nprot = 1\n", "turn.prot: no such key; nearest is turn.port"),
        ("[trun]\nport = 1\n", "trun: no such section; nearest is turn"),
        ("uplink_bps = 1\n", "uplink_bps: no such key; nearest is sfu.uplink_bps"),
        ("[turn]\nqqqq = 1\n", "turn.qqqq: no such key; allowed here: listen, port,"),
    ],
)
def test_an_unknown_key_is_told_its_nearest_known_name(tmp_path: Path, text: str, nearest: str) -> None:
    assert errors_of(tmp_path, text)[0].startswith(nearest)


def test_a_section_must_be_a_table(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "turn = 3\n") == ["turn = 3: must be a table, [turn]"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[sfu]\nport = 3478\n", "sfu.port = 3478: must differ from turn.port"),
        ("[sfu]\nport = 5349\n", "sfu.port = 5349: must differ from turn.tls_port"),
        ("[turn]\nport = 5349\n", "turn.tls_port = 5349: must differ from turn.port"),
        ("[turn]\nrelay_ports = [40000, 40000]\n", "turn.relay_ports = [40000, 40000]: must have a port that turnd"),
        ('[http]\ntls_listen = "192.0.2.1:3478"\n', "http.tls_listen = 192.0.2.1:3478: must differ from turn.port"),
        ('[metrics]\nlisten = "0.0.0.0:8080"\n', "metrics.listen = 0.0.0.0:8080: must differ from http.listen"),
        ('[http]\nlisten = ""\ntls_listen = ""\n', "http.listen and http.tls_listen: must not both be empty"),
        ('[http]\ncertificate = "/etc/passwd"\n', "http.certificate and http.private_key: must both be given"),
    ],
)
def test_values_that_exclude_each_other_are_refused(tmp_path: Path, text: str, error: str) -> None:
    errors = errors_of(tmp_path, text)
    assert len(errors) == 1
    assert errors[0].startswith(error)


@pytest.mark.parametrize(
    "text",
    [
        "[sfu]\nport = 40050\n",  # inside the relay range: that port is skipped
        '[http]\nlisten = "127.0.0.1:8443"\ntls_listen = "127.0.0.2:8443"\n',
        '[http]\nlisten = "127.0.0.1:0"\ntls_listen = "127.0.0.1:0"\n',
        '[http]\ntls_listen = "[::]:443"\n',
        '[http]\npublic_host = "2001:db8::1"\n',
        '[http]\norigins = ["https://Example.org:8443", "http://localhost", "*"]\n',
    ],
)
def test_values_that_go_together_are_taken(tmp_path: Path, text: str) -> None:
    assert errors_of(tmp_path, text) == []


def test_secrets_are_not_shown_in_errors(tmp_path: Path) -> None:
    text = '[turn]\nsecrets = ["hunter2", ""]\nusers = { anna = "hunter3", "b:c" = "hunter4" }\n'
    assert "hunter" not in "\n".join(errors_of(tmp_path, text))


def test_keys_can_stand_for_a_password(tmp_path: Path) -> None:
    path = tmp_path / "turnd.toml"
    path.write_text(f'[turn.users]\nanna = {{ md5 = "{"0a" * 16}", sha256 = "{"0B" * 32}" }}\nben = "pass"\n')
    assert load(path).turn.users == {"anna": StoredKeys(b"\x0a" * 16, b"\x0b" * 32), "ben": "pass"}


def test_keys_are_not_shown_in_errors(tmp_path: Path) -> None:
    assert "beef" not in "".join(errors_of(tmp_path, '[turn.users]\nanna = { md5 = "beef", sha256 = "beef" }\n'))


def test_a_missing_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "missing.toml")


def test_the_size_of_the_file_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "turnd.toml"
    path.write_bytes(b"#" * MAX_FILE_BYTES)
    assert load(path) == Config()
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load(path)


@given(data=st.binary(max_size=200) | st.text("[]{}=\"'#.,\n\r\\ax10:-_ \t", max_size=80).map(str.encode))
def test_any_bytes_give_a_configuration_or_its_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    errors: list[str] = []
    try:
        assert isinstance(load(path), Config)
    except ConfigError as error:
        errors = error.errors
    assert all(line.isprintable() for line in errors)


def test_differences_are_dotted_keys(tmp_path: Path) -> None:
    path = tmp_path / "turnd.toml"
    path.write_text('[turn]\nport = 3479\nusers = { anna = "x" }\n[log]\nlevel = "debug"\n')
    assert differences(Config(), load(path)) == ["turn.port", "turn.users", "log.level"]
