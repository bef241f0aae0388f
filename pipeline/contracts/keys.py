"""Who a record is about (`environment/service`), and to which partition that hashes."""

from functools import lru_cache

SEPARATOR = "/"


def service_key(environment: str, service: str) -> str:
    """Return the Kafka key and table key of a service, `environment/service`.

    An environment never holds a ``/`` (decoders refuse it), so the first one separates.

    Examples
    --------
    >>> service_key("prod", "cart")
    'prod/cart'

    """
    return f"{environment}{SEPARATOR}{service}"


def split_service_key(key: str) -> tuple[str, str]:
    """Return (environment, service) of a service key.

    Raises
    ------
    ValueError
        If ``key`` has no ``/``.

    Examples
    --------
    >>> split_service_key("prod/team/cart")
    ('prod', 'team/cart')

    """
    environment, separator, service = key.partition(SEPARATOR)
    if not separator:
        raise ValueError(f"a service key is 'environment/service', got {key!r}")
    return environment, service


@lru_cache(maxsize=65_536)
def partition_for(key: str, n_partitions: int) -> int:
    """Return the partition to which Kafka's default partitioner sends ``key``, in ``[0, n_partitions)``.

    The same function as Java's and aiokafka's default, so records that others publish keyed by service
    (changes, feedback) meet ours in the same partition.
    """
    return (murmur2(key.encode()) & 0x7FFFFFFF) % n_partitions


def murmur2(data: bytes) -> int:
    """Return Kafka's murmur2 of ``data`` as an unsigned 32-bit integer.

    References
    ----------
    .. [1] Apache Kafka, ``org.apache.kafka.common.utils.Utils.murmur2``.

    Examples
    --------
    >>> murmur2(b"prod/cart") & 0x7fffffff
    963303302

    """
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    n_whole = len(data) & ~3
    for i in range(0, n_whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[n_whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
