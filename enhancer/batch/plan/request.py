"""What one run is asked to do: a manual trigger's params, a schedule's settings or the CLI's options, validated
once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from enhancer.batch import layout
from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.recipe import Recipe, Rule, describe, parse_recipe, parse_rules, resolve
from enhancer.settings import OnRejection, Settings
from enhancer.storage import canonical_url, is_folder
from enhancer.version import PIPELINE_VERSION

Rerun = Literal["missing", "failed", "all"]


class Redrive(BaseModel):
    """Which pictures of earlier runs are tried again, in place of a listing.

    Attributes:
        run: only pictures on which this run has the last word.
        error_class: only pictures whose last error is of this class.
        quarantined: quarantined pictures too, which no other run tries unasked.
        stage: instead of what is undone, published pictures on which this stage acted (its name in the record, such as
            ``impulse-repair``) under a pipeline older than `before`.
        before: a pipeline's version (:data:`~enhancer.version.PIPELINE_VERSION`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str | None = None
    error_class: str | None = None
    quarantined: bool = False
    stage: str | None = Field(None, min_length=1)
    before: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _goes_together(self) -> Redrive:
        if (self.stage is None) != (self.before is None):
            raise ValueError(
                "stage and before go together: a stage's name and the version of the pipeline that mended it"
            )
        if self.stage is not None and (self.error_class is not None or self.quarantined):
            raise ValueError(
                "stage looks at published pictures, which have no error: leave out error_class and quarantined"
            )
        if self.before is not None and self.before > int(PIPELINE_VERSION):
            raise ValueError(
                f"before is {self.before}, but this version makes pictures with pipeline {PIPELINE_VERSION}: made anew "
                "they would come out the same"
            )
        return self


class RunRequest(BaseModel):
    """Validated params of a run.

    Attributes:
        input_url: bucket or folder that is read and never written.
        output_url: where enhanced twins go, under the same keys.
        work_url: staged results and manifests.
        reference_url: truths under the same keys, or None.
        prefix: only keys that start so.
        keys: these instead of a listing; one that is not there ends as skipped (gone). None: what is listed.
        rules: recipes by key; the first match wins.
        recipe: the run's own recipe (replaces the rules' recipes), or None.
        scale: explicit override, as are denoise_strength and model.
        max_items: at most so many pictures of work.
        rerun: ``missing`` does what is not there yet; ``failed`` only what an earlier run failed, rejected or
            quarantined; ``all`` looks at every picture again (known results are reused, not computed again).
        dry_run: plan, count and estimate; touch no picture.
        run_gate: the run is held when more than this share of its results is refused; None: as the settings say.
        redrive: take what earlier runs left undone, or published by an older pipeline, with the recipes asked for
            then, instead of a listing.
        on_rejection: ``reject``, or ``pass_through``: a picture whose result is refused is published as it came.
        worker_hour_price: what a worker costs an hour, for the estimate; None: as the settings say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_url: str = Field(min_length=1)
    output_url: str = Field(min_length=1)
    work_url: str = Field(min_length=1)
    reference_url: str | None = None
    prefix: str = ""
    keys: tuple[str, ...] | None = None
    rules: tuple[Rule, ...] = ()
    recipe: Recipe | None = None
    scale: float | None = Field(None, ge=1, le=8)
    denoise_strength: float | None = Field(None, ge=0, le=1)
    model: str | None = None
    max_items: int | None = Field(None, ge=1)
    rerun: Rerun = "missing"
    dry_run: bool = False
    run_gate: float | None = Field(None, gt=0, le=1)
    on_rejection: OnRejection = "reject"
    redrive: Redrive | None = None
    worker_hour_price: float | None = Field(None, ge=0, allow_inf_nan=False)

    @classmethod
    def from_params(cls, params: Mapping[str, Any], settings: Settings) -> RunRequest:
        """A request from params; what is None or empty comes from the settings.

        Raises:
            RequestError: a param that is missing or invalid, named, with the way out.
        """
        given = {name: value for name, value in params.items() if value is not None and value != ""}
        values = {
            "input_url": settings.input_url,
            "output_url": settings.output_url,
            "work_url": settings.work_url,
            "reference_url": settings.reference_url,
            "rules": settings.rules,
            "recipe": settings.recipe,
            "run_gate": settings.run_gate,
            "on_rejection": settings.on_rejection,
            **given,
        }
        for name in ("input_url", "output_url"):
            if not values[name]:
                raise RequestError(
                    f"{name} is not set: give it as a param or set ENHANCER_{name.upper()}", reason=Reason.MISSING_PARAM
                )
            values[name] = _canonical(name, values[name])
        default = layout.default_work_url(values["output_url"])
        values["work_url"] = _canonical("work_url", values["work_url"] or default)
        if values["reference_url"]:
            values["reference_url"] = _canonical("reference_url", values["reference_url"])
        values["rules"] = parse_rules(values["rules"])
        values["recipe"] = parse_recipe(values["recipe"]) if values["recipe"] else None
        try:
            request = cls.model_validate(values)
        except ValidationError as error:
            raise RequestError(
                f"the run's params are not valid: {describe(error)}", reason=Reason.BAD_PARAMS
            ) from error
        request.check()
        return request

    def check(self) -> None:
        """Refuse what would break a promise: writing where the input is read, or a model that no one knows."""
        for name in ("output_url", "work_url"):
            written = getattr(self, name)
            if _within(written, self.input_url) or _within(self.input_url, written):
                raise RequestError(
                    f"{name} ({written}) and input_url ({self.input_url}) overlap, but the input is never written to: "
                    "choose another bucket or a prefix beside it",
                    reason=Reason.OVERLAPPING_URLS,
                )
        from enhancer.identity import weights_for

        for rule in (None, *self.rules):
            base = parse_recipe(self.recipe or (rule.recipe if rule else None))
            weights_for(parse_recipe({**base.model_dump(), **(rule.overrides() if rule else {}), **self.overrides()}))

    def overrides(self) -> dict[str, Any]:
        """Explicit params that win over rule and recipe."""
        values = {"scale": self.scale, "denoise_strength": self.denoise_strength, "model": self.model}
        return {name: value for name, value in values.items() if value is not None}

    def recipe_for(self, key: str) -> Recipe:
        """The recipe requested for `key`."""
        return resolve(key, self.rules, self.recipe, self.overrides())

    def as_params(self) -> dict[str, Any]:
        """JSON-able, for the run's row; URLs carry no credentials."""
        return self.model_dump(mode="json")


def _canonical(name: str, url: Any) -> str:
    try:
        return canonical_url(str(url))
    except RequestError as error:
        raise RequestError(f"{name}: {error.message}", reason=error.reason) from error


def _within(url: str, outer: str) -> bool:
    """Whether a store lies in another, or is it; folders by their real paths, so that no link or ``..`` hides it."""
    inner, outer = (os.path.realpath(place) if is_folder(place) else place for place in (url, outer))
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
