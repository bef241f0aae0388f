"""What a message of many readings comes to: each is counted, refused with its reason and place, or ignored."""

from pipeline.contracts.readings import Decoded, Reading, Rejection, RejectReason, SampledSpan
from pipeline.errors import FieldRefused


class Harvest:
    """Collects what becomes of a message's readings; ``index`` is the place of the one at hand in the message."""

    __slots__ = ("index", "n_ignored", "n_merged", "readings", "rejections", "sampled", "unmapped")

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.rejections: list[Rejection] = []
        self.n_ignored = 0
        self.n_merged = 0
        self.unmapped: dict[str, int] = {}
        self.sampled: list[SampledSpan] = []
        self.index = -1

    def refuse(self, refusal: FieldRefused) -> None:
        """Note why the reading at hand is refused."""
        reason = RejectReason(refusal.reason)
        self.rejections.append(Rejection(reason=reason, detail=refusal.detail, field=refusal.field, index=self.index))

    def refuse_rest(self, refusal: FieldRefused, n: int) -> None:
        """Note why the next ``n`` readings are refused, all for the same reason."""
        for _ in range(n):
            self.index += 1
            self.refuse(refusal)

    def ignore(self, n: int, metric: str = "") -> None:
        """Note that the next ``n`` readings are passed over; because nobody knows ``metric``, if it is named."""
        self.index += n
        self.n_ignored += n
        if metric and n:
            self.unmapped[metric] = self.unmapped.get(metric, 0) + n

    def decoded(self) -> Decoded:
        """Return what the message holds."""
        return Decoded(
            readings=self.readings,
            rejections=self.rejections,
            n_ignored=self.n_ignored,
            n_merged=self.n_merged,
            unmapped=self.unmapped,
            sampled=self.sampled,
        )


def refused_message(reason: RejectReason, detail: str) -> Decoded:
    """Return that a message is refused whole."""
    return Decoded(rejections=[Rejection(reason=reason, detail=detail)])
