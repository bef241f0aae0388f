"""Whether a Kafka broker answers: one real Metadata request over a plain socket, without an event loop."""

import socket
import struct

_METADATA, _VERSION, _CORRELATION = 3, 1, 1
_CLIENT = b"tocsin-readiness"
_MAX_ANSWER_BYTES = 1_048_576


def n_brokers(host: str, port: int, *, timeout_s: float) -> int:
    """Return how many brokers the one at ``host:port`` knows of; 0 when it does not answer properly.

    Parameters
    ----------
    host, port
        Address of a plaintext listener.
    timeout_s
        For the connection, and for each read, seconds.

    """
    body = struct.pack(">hhih", _METADATA, _VERSION, _CORRELATION, len(_CLIENT)) + _CLIENT + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", _read(connection, 4))
            if not 8 <= size <= _MAX_ANSWER_BYTES:
                return 0
            correlation, count = struct.unpack_from(">ii", _read(connection, size))
    except (OSError, EOFError):
        return 0
    return int(count) if correlation == _CORRELATION else 0


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
