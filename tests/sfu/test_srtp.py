"""Key derivation of sealed media."""

from sfu.srtp import rtp_keys


def test_keys_are_those_of_the_standard() -> None:
    """RFC 3711 B.3."""
    key, salt = rtp_keys(
        bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139"), bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    )
    assert key.hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert salt.hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
