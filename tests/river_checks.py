"""river's own estimator checks on an adapted detector: all of them, on a stream that need not be downloaded."""

import random
from collections.abc import Iterator

import pytest
from river import base, datasets
from river.checks import yield_checks


class FewFrauds:
    """Stands in for river's credit cards, which are 150 MB: mostly small amounts, some far off."""

    def take(self, n: int) -> Iterator[tuple[dict[str, float], int]]:
        draw = random.Random(7)
        for i in range(n):
            is_fraud = i > 150 and i % 97 == 0
            yield {f"V{j}": draw.gauss(30.0 if is_fraud else 0.0, 1) for j in range(8)}, int(is_fraud)


def passed(monkeypatch: pytest.MonkeyPatch, detector: base.AnomalyDetector) -> list[str]:
    """Let a detector go through each check that river has for its kind; return their names. It skips what the detector names."""
    monkeypatch.setattr(datasets, "CreditCard", FewFrauds)
    names = []
    skipped = detector._unit_test_skips()  # as river's check_estimator does
    for check in yield_checks(detector):
        if check.__name__ in skipped:
            continue
        if "dataset" not in getattr(check, "keywords", {}):
            check(detector.clone())
        else:
            check.func(detector.clone(), list(check.keywords["dataset"]))
        names.append(check.__name__)
    return names
