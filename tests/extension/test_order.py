"""Where added stages go, and what is wrong with those that cannot."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from enhancer.errors import RequestError
from enhancer.extensions import StageExtension
from enhancer.image import FloatPixels
from enhancer.options import StageOptions
from enhancer.stages.added import with_added
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.sequence import OWN

HERE = "tests.extension.test_order"


class Nothing(Stage):
    options = StageOptions

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        return Decision(False, "nothing")

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        return block

    def halo(self, context: Context) -> int:
        return 0


class Alpha(Nothing):
    name = "alpha"
    after = "denoising"


class Beta(Nothing):
    name = "beta"
    after = "denoising"


class Gamma(Nothing):
    name = "gamma"
    after = "beta"


class Last(Nothing):
    name = "last"


class Later(Nothing):
    name = "later"


class Lost(Nothing):
    name = "lost"
    after = "development"


class Tone(Nothing):
    name = "tone"


class Unfinished(Stage):
    name = "unfinished"
    options = StageOptions


class Optionless(Nothing):
    name = "optionless"
    options = None


class NoStage:
    name = "no-stage"
    options = StageOptions


def added(*kinds: type, name: str | None = None) -> dict[str, StageExtension]:
    made = {}
    for kind in kinds:
        called = name or kind.name
        entry = EntryPoint(called, f"{HERE}:{kind.__name__}", "enhancer.stages")
        made[called.replace("-", "_")] = StageExtension(called, "somebodys", "1.0", entry)
    return made


def names(*kinds: type) -> list[str]:
    return [stage.name for stage in with_added(OWN, added(*kinds))]


def test_each_follows_the_stage_it_names_and_several_their_own_order() -> None:
    own = [stage.name for stage in OWN]
    place = own.index("denoising") + 1
    assert names(Alpha, Beta, Gamma, Last, Later) == [
        *own[:place], "alpha", "beta", "gamma", *own[place:], "last", "later",
    ]  # fmt: skip
    assert names() == own


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Lost, "follows 'development', which is no stage .known: picture-kind, "),
        (Tone, "this package has one of that name"),
        (Unfinished, "cannot be made: .*abstract"),
        (Optionless, "has no options: set `options`"),
        (NoStage, "is no enhancer.stages.base.Stage"),
    ],
)
def test_what_cannot_be_placed_is_named_with_its_package(kind: type, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        with_added(OWN, added(kind))
    assert "somebodys" in caught.value.message
    assert caught.value.reason == "bad-extension"


def test_a_module_that_cannot_be_imported_and_a_name_that_is_another_are_named() -> None:
    missing = StageExtension("gone", "somebodys", "1.0", EntryPoint("gone", "not_there:Gone", "enhancer.stages"))
    with pytest.raises(RequestError, match=r"'gone' of package somebodys 1\.0 cannot be loaded: ModuleNotFoundError"):
        with_added(OWN, {"gone": missing})
    with pytest.raises(RequestError, match="is called 'alpha' by its class"):
        with_added(OWN, added(Alpha, name="delta"))
