"""What each bulk partition has finished: the only thing that decides a commit there."""

from collections.abc import Iterator

import msgspec

TopicPartition = tuple[str, int]
"""(topic, partition); Faust's and aiokafka's own types are equal to it, and hash like it."""


class Standing(msgspec.Struct, frozen=True):
    """How far a partition is finished: everything before ``next_offset``; ``metadata`` is our text in the commit."""

    next_offset: int
    metadata: str = ""


class Ledger:
    """Standings of the partitions that this app owns now; one ledger per app, used from its event loop only.

    Bounded by the number of assigned partitions.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.began(("t", 0), None)
    >>> ledger.standing(("t", 0)) is None
    True
    >>> ledger.finish(("t", 0), 10, "mark")
    >>> ledger.standing(("t", 0))
    Standing(next_offset=10, metadata='mark')
    >>> list(ledger.due())
    [('t', 0)]

    """

    def __init__(self) -> None:
        self._standings: dict[TopicPartition, Standing | None] = {}
        self._committed: dict[TopicPartition, Standing | None] = {}

    def began(self, tp: TopicPartition, standing: Standing | None) -> None:
        """Take a partition over where its commit stands; ``None``: the group has never committed there."""
        self._standings[tp] = standing
        self._committed[tp] = standing

    def owns(self, tp: TopicPartition) -> bool:
        """Tell whether a partition was taken over and not given up since."""
        return tp in self._standings

    def standing(self, tp: TopicPartition) -> Standing | None:
        """Return how far a partition is finished; ``None``: nothing is known, as before the first commit."""
        return self._standings.get(tp)

    def finish(self, tp: TopicPartition, next_offset: int, metadata: str = "") -> None:
        """Record that everything before ``next_offset`` is done; one that is lower than before changes nothing.

        A partition that is not owned (any more) is left alone: its new owner decides.
        """
        if tp not in self._standings:
            return
        standing = self._standings[tp]
        if standing is None or next_offset >= standing.next_offset:
            self._standings[tp] = Standing(next_offset, metadata)

    def begin_anew(self, tp: TopicPartition, standing: Standing) -> None:
        """Stand where the log really begins, lower than before if need be; committed like anything that was finished."""
        if tp in self._standings:
            self._standings[tp] = standing

    def is_committed(self, tp: TopicPartition) -> bool:
        """Tell whether the broker has taken a partition's standing."""
        return self._standings.get(tp) == self._committed.get(tp)

    def forget(self, tp: TopicPartition) -> None:
        """Let a revoked partition go."""
        self._standings.pop(tp, None)
        self._committed.pop(tp, None)

    def due(self) -> Iterator[TopicPartition]:
        """Yield the partitions whose standing is not committed yet."""
        return (tp for tp, standing in self._standings.items() if standing != self._committed.get(tp))

    def committed(self, tp: TopicPartition, standing: Standing) -> None:
        """Record that the broker has taken a standing."""
        if tp in self._standings:
            self._committed[tp] = standing
