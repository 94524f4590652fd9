"""How often each training source is seen: by its weight, and by a temperature that lifts the small ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from finesight.schema import Example


def mix(examples: Sequence[Example], temperature: float) -> list[Example]:
    """Return the examples with the weights that an epoch gives them.

    At temperature T a source of n examples has a share of the epoch in proportion to n^(1/T), as in multilingual
    BERT's and mT5's sampling (Xue et al. 2021, section 3.1, with alpha = 1/T); at 1 nothing changes. The epoch stays
    as long as it was, and a source's own weight counts on top.
    """
    if temperature == 1:
        return list(examples)
    sizes = Counter(example.source for example in examples)
    lifted = {source: size ** (1 / temperature) for source, size in sizes.items()}
    together = math.fsum(lifted.values())
    factor = {source: lifted[source] / together * len(examples) / size for source, size in sizes.items()}
    return [replace(example, weight=example.weight * factor[example.source]) for example in examples]
