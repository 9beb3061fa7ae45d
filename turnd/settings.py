"""What each service is told, from the configuration. No state."""

from __future__ import annotations

from signalling.file_limits import FileLimits
from signalling.server import SignallingSettings
from turnd.config import Config
from turnd.turn.channel import RFC5766_MAX_CHANNEL
from turnd.turn.limits import Limits
from turnd.turn.service import TurnSettings
from wire.stun import MAX_CHANNEL


def signalling_settings(config: Config, https_port: int | None) -> SignallingSettings:
    """Of the page, its rooms and their files; `https_port`: where plain HTTP is sent."""
    files = config.files
    return SignallingSettings(
        https_port=https_port,
        origins=config.http.origins,
        embed=config.http.embed,
        keep_seconds=config.rooms.keep_hours * 3600.0,
        files=FileLimits(
            max_bytes=files.max_bytes,
            room_bytes=files.room_bytes,
            total_bytes=files.total_bytes,
            keep_seconds=files.keep_hours * 3600.0,
            uploads_of_seat=files.uploads_of_seat,
        ),
        download_bps=files.download_bps,
        uplink_bps=config.sfu.uplink_bps,
    )


def turn_settings(config: Config, secrets: tuple[str, ...]) -> TurnSettings:
    """Of the TURN server; `secrets`: those that are configured, or the generated one."""
    turn = config.turn
    return TurnSettings(
        listen=turn.listen,
        port=turn.port,
        tls_port=turn.tls_port,
        relay_ports=turn.relay_ports,
        realm=turn.realm,
        secrets=secrets,
        users=turn.users,
        userhash=turn.userhash,
        allow_peers=turn.allow_peers,
        tcp_relay=turn.tcp_relay,
        mobility=turn.mobility,
        limits=Limits(
            allocations=turn.max_allocations,
            allocations_of_user=turn.max_allocations_of_user,
            permissions=turn.max_permissions,
            channels=turn.max_channels,
            last_channel=RFC5766_MAX_CHANNEL if turn.rfc5766_channels else MAX_CHANNEL,
            allocation_bps=turn.allocation_bps,
            total_bps=turn.total_bps,
        ),
    )
