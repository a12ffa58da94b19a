"""Stages that are added to the fixed order (:mod:`enhancer.extensions`), put in their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from enhancer.errors import RequestError
from enhancer.extensions import StageExtension, recipe_key, stage_extensions
from enhancer.reasons import Reason
from enhancer.stages.base import Decision, Stage


def with_added(own: Sequence[Stage], added: Mapping[str, StageExtension]) -> tuple[Stage, ...]:
    """`own` with each added stage after the one it names, several after one in the order of `added`; others come last.

    Raises:
        RequestError: a stage cannot be made, has the name of another one, or follows one that there is not
            (reason ``bad-extension``).
    """
    order = list(own)
    waiting = {extension.name: (extension, _made(extension)) for extension in added.values()}
    for extension, _ in waiting.values():
        if any(stage.name == extension.name for stage in own):
            raise RequestError(
                f"package {extension.distribution} adds a stage {extension.name!r}, but this package has one of that "
                "name: it needs another name",
                reason=Reason.BAD_EXTENSION,
            )
    last = [name for name, (_, stage) in waiting.items() if stage.after is None]
    order += [waiting.pop(name)[1] for name in last]
    # The last first: whoever is put after the same stage later comes before it.
    while ready := [name for name in reversed(waiting) if _place(waiting[name][1], order) is not None]:
        for name in ready:
            stage = waiting.pop(name)[1]
            order.insert(_place(stage, order) or len(order), stage)
    for extension, stage in waiting.values():
        raise RequestError(
            f"the stage {extension.name!r} of package {extension.distribution} follows {stage.after!r}, which is no "
            f"stage (known: {', '.join(one.name for one in order)})",
            reason=Reason.BAD_EXTENSION,
        )
    return tuple(order)


def from_package(stage: Stage, decision: Decision) -> Decision:
    """The decision; of an added stage that acts, with the package that it is from."""
    extension = stage_extensions().get(recipe_key(stage.name))
    if extension is None or not extension.foreign or not decision.applied:
        return decision
    package = f"{extension.distribution} {extension.version}"
    return replace(decision, numbers={**decision.numbers, "package": package})


def _place(stage: Stage, order: Sequence[Stage]) -> int | None:
    """Where it goes, after the stage that it names; None: that one is not there."""
    return next((place for place, one in enumerate(order, start=1) if one.name == stage.after), None)


def _made(extension: StageExtension) -> Stage:
    kind = extension.stage()
    if not issubclass(kind, Stage):
        raise RequestError(
            f"the stage {extension.name!r} of package {extension.distribution} is no enhancer.stages.base.Stage: "
            "let its class derive from that",
            reason=Reason.BAD_EXTENSION,
        )
    try:
        return kind()
    except TypeError as error:
        raise RequestError(
            f"the stage {extension.name!r} of package {extension.distribution} cannot be made: {error}",
            reason=Reason.BAD_EXTENSION,
        ) from error
