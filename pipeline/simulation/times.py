"""What a telemetry record's `time` means, and the same time moved: decides the unit by magnitude, and keeps its form."""

from datetime import UTC, datetime, timedelta

UNITS = ((1e11, 1_000.0), (1e14, 1.0), (1e17, 1e-3), (float("inf"), 1e-6))
"""(upper limit of the number, ms a unit): seconds, milliseconds, microseconds, nanoseconds."""


def to_ms(value: object) -> int | None:
    """Return the UTC epoch ms that a record's time means; ``None`` when it means none.

    Examples
    --------
    >>> to_ms(1_700_000_000), to_ms(1_700_000_000_000), to_ms("2023-11-14T22:13:20Z"), to_ms("soon")
    (1700000000000, 1700000000000, 1700000000000, None)

    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value * _ms_per_unit(value)) if 0 <= value < 1e20 else None
    moment = _moment(value)
    return None if moment is None else round(moment.timestamp() * 1000)


def moved(value: object, shift_ms: int) -> object:
    """Return the same time ``shift_ms`` later, in the same form; what is no time stays as it is.

    Examples
    --------
    >>> moved(1_700_000_000, 1500), moved("2023-11-14T22:13:20Z", 1500)
    (1700000001.5, '2023-11-14T22:13:21.500000+00:00')

    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        if not 0 <= value < 1e20:
            return value
        by = shift_ms / _ms_per_unit(value)
        return value + int(by) if by == int(by) else value + by
    moment = _moment(value)
    return value if moment is None else (moment + timedelta(milliseconds=shift_ms)).isoformat()


def _ms_per_unit(value: float) -> float:
    return next(ms for limit, ms in UNITS if value < limit)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
