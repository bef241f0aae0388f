"""Which free ports of this machine a broker gets."""

import secrets
import socket

from pipeline.errors import BrokerError

LOWEST_PORT, HIGHEST_PORT = 20_000, 32_000
"""Below Linux's range for outgoing connections (32768 up): a client that tries again and again to reach a stopped
broker may be given the broker's own port to call from, is then connected to itself, and keeps the broker from it."""
_TRIES = 200


def is_free(port: int) -> bool:
    """Return whether a server could listen on ``port`` of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as brokers do: old connections are no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return ``count`` different free ports in ``[20000, 32000)``.

    Raises
    ------
    BrokerError
        If not enough are found.

    """
    found: list[int] = []
    for _ in range(_TRIES):
        port = LOWEST_PORT + secrets.randbelow(HIGHEST_PORT - LOWEST_PORT)
        if port not in found and is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise BrokerError(f"found no {count} free ports in {LOWEST_PORT} .. {HIGHEST_PORT}: is another broker test still running?")
