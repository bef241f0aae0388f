"""Evidence on several time scales: sums of the newest windows, scored, with a learned variability and tail each."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.blocks import Blocks
from models.budget import TAIL_FROM
from models.errors import number, numbers, reading
from models.rarity import rarity_terms
from models.scales import BLOCK, COARSE, COARSE_FROM, Item, Scale, ScaleScore, Scorer

_DAY_S = 86_400.0
_LEAST_DAYS = 1 / 24
"""Less than an hour is no memory to speak of."""


class Evidence:
    """Sums over the newest 1, 6, 30 ... windows of one signal, judged against what is usual on that scale.

    With ``needs_two`` one window alone is only half a proof: its tail is that of the smaller of two neighbours, because
    an alert needs both. The six-window sum leaves out its most fault-like window, so that one spike is no alarm. Tails count
    what came before ``settle_windows`` normal windows without an alarm.

    Notes
    -----
    Memory O(number of blocks in the longest scale); time O(1), the long scales every sixth or thirtieth window only.

    """

    __slots__ = (
        "_blocks", "_by_k", "_coarse", "_fine", "_held", "_n_learned", "_n_unsettled", "_needs_two", "_previous_z", "_recent",
        "_recent_z", "_scorer", "_settle_windows", "_single", "_six",
    )  # fmt: skip

    def __init__(self, scorer: Scorer, scales: Sequence[Scale], *, needs_two: bool, settle_windows: int) -> None:
        self._scorer = scorer
        self._needs_two = needs_two
        self._by_k = {scale.k: scale for scale in scales}
        self._single, self._six = self._by_k.get(1), self._by_k.get(BLOCK)
        self._fine = [scale for scale in scales if BLOCK < scale.k < COARSE_FROM]
        self._coarse = [scale for scale in scales if scale.k >= COARSE_FROM]
        self._n_learned = 0
        self._settle_windows = settle_windows
        self._blocks = Blocks(
            BLOCK,
            COARSE,
            n_fine=max((scale.k // BLOCK for scale in self._fine), default=0),
            n_coarse=max((scale.k // COARSE for scale in self._coarse), default=0),
        )
        self.clear()

    def clear(self) -> None:
        """Forget the newest windows (an alarm was closed); what was learned stays, but for the tails of the last windows."""
        self._recent: list[Item] = []
        self._recent_z: list[float] = []
        """The last five windows, and how fault-like each of them is by itself."""
        self._previous_z = 0.0
        self._held: list[ScaleScore] = []
        """What the long scales said when their last block was full, by ascending scale."""
        self._blocks.clear()
        self._n_unsettled = 0
        """Normal windows since tails were settled."""
        for scale in self._by_k.values():
            scale.tail.drop()

    @property
    def is_block_end(self) -> bool:
        """Whether the next window fills a block, so that long scales have something new to say."""
        return self._blocks.is_fine_end

    @property
    def held(self) -> Sequence[ScaleScore]:
        """What the long scales said when their last block was full; the same object until the next one is."""
        return self._held

    @property
    def newest(self) -> Item | None:
        """The newest window in sums; ``None``: there is none, or only sums are judged."""
        return self._recent[-1] if self._recent else None

    def variability(self, k: int) -> float:
        """Return the learned variance (relative units) of scale ``k``."""
        return self._by_k[k].variability.value

    @property
    def newest_variability(self) -> float:
        """The learned variance (relative units) of a single window; 0 where only sums are judged."""
        return 0.0 if self._single is None else self._single.variability.value

    def scores(self, item: Item, newest: Item | None = None) -> list[ScaleScore]:
        """Return what each scale says if ``item`` is the newest window, by ascending scale. Changes nothing.

        ``newest`` is what the newest window shows by itself, where that differs from what it counts as in sums.
        """
        long, one, six = self._long_scores(item) if self._blocks.is_fine_end else self._held, self._single, self._six
        if one is None:
            return long
        single = self._scorer(one, newest or item)
        if six is None or len(self._recent) < BLOCK - 1:
            return [single, *long]
        return [single, self._scorer(six, self._trimmed(item, single.z)), *long]

    def _trimmed(self, item: Item, z: float) -> Item:
        """Return the sum of six windows but the most fault-like one."""
        worst_z, kept = max(self._recent_z), self._recent
        if z < worst_z:
            kept = kept.copy()
            kept[self._recent_z.index(worst_z)] = item
        (a1, b1, c1), (a2, b2, c2), (a3, b3, c3), (a4, b4, c4), (a5, b5, c5) = kept  # a third of a loop's time
        return a1 + a2 + a3 + a4 + a5, b1 + b2 + b3 + b4 + b5, c1 + c2 + c3 + c4 + c5  # anew: a running difference would drift

    def _long_scores(self, item: Item) -> list[ScaleScore]:
        """Return what the long scales say at the end of a block; those whose block goes on say what they said."""
        blocks, found = self._blocks, []
        for scale in self._fine:
            sums = blocks.fine_sum(scale.k // BLOCK, item)
            if sums is not None:
                found.append(self._scorer(scale, sums))
        if not blocks.is_coarse_end:
            return found + [score for score in self._held if score.k >= COARSE_FROM]
        for scale in self._coarse:
            sums = blocks.coarse_sum(scale.k // COARSE, item)
            if sums is not None:
                found.append(self._scorer(scale, sums))
        return found

    def rarity(self, score: ScaleScore, window_s: float) -> dict[str, float]:
        """Return how rare a score is: once in ``one_in`` judgements when all is well; ``above_all`` others in ``days``.

        Where an alert needs two windows the learned law is that of the smaller of two neighbours. A first one alone is at
        least as improbable as the square root of it, because neighbours are alike rather than opposed.
        """
        tail, z = self._by_k[score.k].tail, score.z
        chance = tail.chance(abs(z))
        if score.k == 1 and self._needs_two:
            z = min(z, self._previous_z) if z > 0 else max(z, self._previous_z)
            chance = min(math.sqrt(chance), tail.chance(abs(z)))
        days = tail.n_windows * window_s / _DAY_S
        return rarity_terms(chance, days, is_above_all=z > TAIL_FROM and z > tail.highest and days >= _LEAST_DAYS)

    def push(self, item: Item, scores: Sequence[ScaleScore], *, is_normal: bool) -> None:
        """Make ``item`` the newest window; learn variability and tails from ``scores`` (its own) when it is normal."""
        blocks, single = self._blocks, self._single
        is_block_end = blocks.is_fine_end
        if is_normal:
            self._n_learned = n_learned = self._n_learned + 1
            self._n_unsettled += 1
        if single is not None:
            newest, before = scores[0], self._previous_z
            self._previous_z = z = newest.z
            if is_normal:
                single.learn(newest, before if self._needs_two and before < z else z, 1.0, n_learned)
            recent, recent_z = self._recent, self._recent_z
            recent.append(item)
            recent_z.append(z)
            if len(recent) == BLOCK:
                del recent[0], recent_z[0]
        if is_block_end:
            if is_normal:
                self._learn_sums(scores)
            self._held = [score for score in scores if score.k > BLOCK]
        if is_normal and self._n_unsettled >= self._settle_windows:
            self._settle()
        blocks.push(item)

    def _settle(self) -> None:
        self._n_unsettled = 0
        for scale in self._by_k.values():
            scale.tail.settle(self._settle_windows)

    def _learn_sums(self, scores: Sequence[ScaleScore]) -> None:
        """Learn from the sums whose block is full."""
        for score in scores:
            k = score.k
            if k > 1 and (k < COARSE_FROM or self._blocks.is_coarse_end):
                self._by_k[k].learn(score, score.z, (COARSE if k >= COARSE_FROM else BLOCK) / k, self._n_learned)

    def forget_learning(self) -> None:
        """Start the learned variabilities and tails again; what was seen lately stays."""
        self._n_learned = 0
        for scale in self._by_k.values():
            scale.restart()

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "evidence",
            "v": 3,
            "scales": [[scale.k, scale.variability.to_state(), scale.tail.to_state()] for scale in self._by_k.values()],
            "n_learned": self._n_learned,
            "n_unsettled": self._n_unsettled,
            "recent": [[*item, z] for item, z in zip(self._recent, self._recent_z, strict=True)],
            "previous_z": self._previous_z,
            "held": [_flat(score) for score in self._held],
            "in_force": [[scale.threshold, scale.page_threshold] for scale in self._by_k.values()],
            "blocks": self._blocks.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> "Evidence":
        """Take plain data over; version 2 knew of no tails that do not count yet."""
        with reading(state, "evidence", 3, 2) as version:
            self.clear()
            for (k, variability, tail), in_force in zip(state["scales"], state["in_force"], strict=True):
                if k in self._by_k:
                    scale = self._by_k[k]
                    scale.variability.from_state(variability)
                    scale.tail.from_state(tail)
                    scale.threshold, scale.page_threshold = numbers(in_force)
            for values in state["recent"]:
                a, b, c, z = numbers(values)
                self._recent.append((a, b, c))
                self._recent_z.append(z)
            self._previous_z, self._n_learned = number(state["previous_z"]), int(state["n_learned"])
            self._n_unsettled = int(state["n_unsettled"]) if version > 2 else 0
            for values in state["held"]:
                k, z, effect, deviation, sampling, a, b, c, threshold, page_threshold = numbers(values)
                if k in self._by_k:
                    self._held.append(ScaleScore(int(k), z, effect, deviation, sampling, (a, b, c), threshold, page_threshold))
            self._blocks.from_state(state["blocks"])
        return self


def _flat(score: ScaleScore) -> list[float]:
    return [
        score.k, score.z, score.effect, score.deviation, score.sampling, *score.sums, score.threshold, score.page_threshold,
    ]  # fmt: skip
