"""Dividing a source among its uses: what one of them claims, no other sees, group by group."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from finesight.data.asking_once import ask_once, with_repeats
from finesight.data.groups import join_groups
from finesight.data.look_alikes import NO_LOOK_ALIKES, LookAlikes, find_look_alikes
from finesight.data.sources.names import id_prefix, source_name
from finesight.data.sources.read import put_questions, read_source
from finesight.data.split import draw
from finesight.errors import DataError, UserError
from finesight.recipe.evaluate import TaskFields
from finesight.recipe.sources import AnySource, Scenes, Source
from finesight.schema import OWN_SETS, Example

Origin = tuple[str, ...]
"""What makes a source the same source, however it is used."""
_PLAIN_PROMPT = "{question}"


@dataclass(frozen=True, slots=True)
class Claim:
    """One use of a source."""

    use: str
    """In the words of the recipe, as "data.test" or "the task general"."""
    spec: AnySource
    learned: bool
    """Whether it is learned from. What is measured on claims first."""


def claim_examples(
    claims: Sequence[Claim], data_root: Path, seed: int, *, look_alikes: bool
) -> tuple[list[list[Example]], LookAlikes]:
    """Return the examples of each claim, and which of all images look alike, where that is asked for.

    Claims to one source are disjoint by group; images that look alike are in one group. Each distinct source is read
    once. What is measured on claims first, then what is learned from; in both, those with `max_samples` draw first,
    and one without takes the rest. Raises `DataError` with the faults of all sources, and `UserError` where two
    claims want everything.
    """
    by_origin: dict[Origin, list[int]] = {}
    for place, claim in enumerate(claims):
        by_origin.setdefault(origin_of(claim.spec, data_root), []).append(place)
    for places in by_origin.values():
        _check_claims([claims[place] for place in places])
    # Under a set's name, a task on this source would look like one on the set; under another source's, a stage that
    # names the other would learn from both.
    taken_names = [*OWN_SETS, *filter(None, (_own_name(claim.spec) for claim in claims))]
    pools = _read_all([claims[places[0]].spec for places in by_origin.values()], taken_names, data_root)
    alike = NO_LOOK_ALIKES
    if look_alikes:
        alike = find_look_alikes(image for pool in pools for example in pool for image in example.images)
        pools = [join_groups(pool, alike) for pool in pools]

    claimed: list[list[Example]] = [[] for _ in claims]
    for places, left in zip(by_origin.values(), pools, strict=True):
        for place in sorted(places, key=lambda place: _turn(claims[place])):
            spec = claims[place].spec
            drawn = _draw(left, spec, seed)
            taken = {example.group for example in drawn}
            left = [example for example in left if example.group not in taken]
            claimed[place] = [_as_used(example, spec) for example in drawn]
            if not drawn:
                raise DataError(
                    f"{source_name(spec)}: nothing is left for {claims[place].use}; its other uses take all of it",
                    hint="give the others a smaller max_samples",
                )
    return claimed, alike


def _draw(left: Sequence[Example], spec: AnySource, seed: int) -> list[Example]:
    if not isinstance(spec, TaskFields):
        return draw(left, spec.max_samples, seed)
    # A task is measured on questions: the five captions of an image are one, and are drawn as one.
    return with_repeats(draw(ask_once(left), spec.max_samples, seed), left)


def origin_of(spec: AnySource, data_root: Path) -> Origin:
    """Return what two specs have in common when they read the same rows."""
    if isinstance(spec, Scenes):
        # Drawn in another way they are other rows; that pictures are shared shows among the leaks.
        return (spec.kind, spec.model_dump_json(include=set(Scenes.model_fields) - set(Source.model_fields)))
    return (spec.kind, *(_same_for_same_rows(spec, name, data_root) for name in spec.row_fields))


def _same_for_same_rows(spec: AnySource, name: str, data_root: Path) -> str:
    value = getattr(spec, name)
    if name not in spec.path_fields:
        return repr(value)
    local = data_root / value
    return str(local.resolve()) if local.exists() else value


def _turn(claim: Claim) -> tuple[bool, bool]:
    return (claim.learned, claim.spec.max_samples is None)


def _read_all(specs: Sequence[AnySource], taken_names: Sequence[str], data_root: Path) -> list[list[Example]]:
    pools: list[list[Example]] = []
    faults: list[DataError] = []
    for spec, name, prefix in zip(
        specs,
        _made_unique([source_name(spec) for spec in specs], reserved=taken_names),
        _made_unique([id_prefix(spec) for spec in specs]),
        strict=True,
    ):
        try:
            read = read_source(spec.model_copy(update={"prompt": _PLAIN_PROMPT}), data_root)
        except DataError as error:
            faults.append(error)
        else:
            pools.append([_renamed(example, name, id_prefix(spec), prefix) for example in read])
    if faults:
        hints = dict.fromkeys(error.hint for error in faults if error.hint)
        raise DataError("\n".join(error.message for error in faults), hint="\n".join(hints))
    return pools


def _made_unique(names: Sequence[str], reserved: Sequence[str] = ()) -> list[str]:
    unique: list[str] = []
    for plain in names:
        numbered = (f"{plain} ({number})" for number in itertools.count(2))
        unique.append(next(name for name in itertools.chain([plain], numbered) if name not in (*unique, *reserved)))
    return unique


def _renamed(example: Example, name: str, prefix: str, unique_prefix: str) -> Example:
    if example.source == name and prefix == unique_prefix:
        return example
    renamed = replace(example, source=name, id=unique_prefix + example.id.removeprefix(prefix))
    if not example.rotation_of:
        return renamed
    return replace(renamed, rotation_of=unique_prefix + example.rotation_of.removeprefix(prefix))


def _as_used(example: Example, spec: AnySource) -> Example:
    used = replace(example, source=_own_name(spec) or example.source, role=spec.role, weight=spec.weight)
    return put_questions(used, spec.prompt)


def _own_name(spec: AnySource) -> str | None:
    """Return the name that the recipe gives a source; a task's name is the task's own, and not its source's."""
    return None if isinstance(spec, TaskFields) else spec.name


def _check_claims(claims: Sequence[Claim]) -> None:
    name = source_name(claims[0].spec)
    for claim in claims[1:]:
        if _reading(claim.spec) != _reading(claims[0].spec):
            raise UserError(
                f"{name}: {claims[0].use} and {claim.use} read it differently",
                hint="give both the same columns and images; the rest may differ",
            )
    everything = [claim for claim in claims if claim.spec.max_samples is None]
    measured = [claim for claim in everything if not claim.learned]
    if len(everything) > 1 or (measured and any(claim.learned for claim in claims)):
        users = [claim.use for claim in (everything if len(everything) > 1 else claims)]
        raise UserError(
            f"{name}: {' and '.join(users)} use the same source, and nothing would be left for one of them",
            hint="give max_samples to what is measured on, or measure on a share of data.train with `from: test`",
        )


def _reading(spec: AnySource) -> dict[str, object]:
    how_it_is_used = {*Source.model_fields, *TaskFields.model_fields, *spec.row_fields}
    return spec.model_dump(exclude=how_it_is_used) if spec.row_fields else {}
