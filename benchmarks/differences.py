"""How long a paired difference takes on GQA-ru's geometry, beside scipy's bootstrap over the same groups.

    python benchmarks/differences.py

12,216 questions about 398 images, 10,000 draws; the two take turns in one process, and the best of five counts. Both
draw groups, not answers, and their intervals have to agree to a tenth of a point.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from finesight.evaluate.metrics.metric import measure_mean
from finesight.evaluate.stats import DRAWS, paired_difference

QUESTIONS = 12_216
IMAGES = 398
BEFORE, AFTER = 0.46, 0.49
BATCH = 100
"""How many draws scipy holds at once: with all of them it takes gigabytes, and longer."""
REPEATS = 5
WANTED_SECONDS = 2.0
AGREEMENT = 0.001
Interval = tuple[float, float]


def main() -> None:
    """Print a line for each of the two, and end with an error where they disagree or finesight is too slow."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    chance = np.random.default_rng(1)
    images = np.sort(np.concatenate([np.arange(IMAGES), chance.integers(IMAGES, size=QUESTIONS - IMAGES)]))
    before, after = (chance.random(QUESTIONS) < share for share in (BEFORE, AFTER))
    groups = [f"image-{image}" for image in images]
    contenders: dict[str, Callable[[], Interval]] = {
        "finesight": lambda: by_finesight(before, after, groups),
        "scipy.stats.bootstrap": lambda: by_scipy(before, after, images),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(REPEATS):
        intervals = []
        for name, contender in contenders.items():
            start = time.perf_counter()
            intervals.append(contender())
            seconds[name].append(time.perf_counter() - start)
    ours, theirs = (min(taken) for taken in seconds.values())
    for (name, taken), (low, high) in zip(seconds.items(), intervals, strict=True):
        print(f"{name:22} {min(taken):7.3f} s   [{100 * low:+.2f}, {100 * high:+.2f}] points")
    print(f"finesight is {theirs / ours:.1f} times as fast")
    if not np.allclose(*intervals, rtol=0, atol=AGREEMENT):
        raise SystemExit(f"the intervals differ by more than {100 * AGREEMENT:g} points")
    if ours > WANTED_SECONDS:
        raise SystemExit(f"finesight took more than {WANTED_SECONDS:g} seconds")


def by_finesight(before: NDArray[np.bool_], after: NDArray[np.bool_], groups: list[str]) -> Interval:
    """Return the interval of the difference, as every verdict and comparison computes it."""
    found = paired_difference(measure_mean(before), measure_mean(after), groups, seed=1)
    return found.low, found.high


def by_scipy(before: NDArray[np.bool_], after: NDArray[np.bool_], images: NDArray[np.intp]) -> Interval:
    """Return scipy's percentile interval over images: of each, what changed and how many questions it has."""
    changes = np.bincount(images, weights=after.astype(float) - before)
    sizes = np.bincount(images)

    def mean_change(drawn: NDArray[np.float64], of: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return np.asarray(drawn.sum(axis) / of.sum(axis))

    found = bootstrap(
        (changes, sizes), mean_change,
        paired=True, vectorized=True, n_resamples=DRAWS, batch=BATCH, method="percentile", random_state=1,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


if __name__ == "__main__":
    main()
