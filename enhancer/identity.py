"""When two enhancements are the same: one hash over everything that may change the result, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping

from blake3 import blake3

from enhancer.models.catalogue import fidelity_entry_beside, load_catalogue, super_resolution_entry
from enhancer.recipe import Recipe
from enhancer.stages.nets import denoiser_weights
from enhancer.version import PIPELINE_VERSION


def digest(data: bytes) -> str:
    """blake3 of `data`, 64 hexadecimal digits."""
    return blake3(data).hexdigest()


def weights_for(recipe: Recipe) -> dict[str, str]:
    """The nets that `recipe` may use, whatever the picture turns out to need.

    Returns:
        Catalogue names (the denoiser may also be a file) to the sha256 of their weights: the super-resolution net where
        the recipe enlarges, the fidelity net beside it where that is a perceptual one and is mixed or guarded, the net
        that restores unless that is off, the denoiser where its strength is above 0, the net against JPEG artefacts and
        the detector of scratches where the recipe looks for them, the restorer of colours where it may be used.

    Raises:
        ModelError: the recipe names a net that the catalogue does not have, or one of another purpose.
    """
    entries = []
    if recipe.scale > 1:
        entries.append(super_resolution_entry(recipe.stage_scale, recipe.model))
        beside = fidelity_entry_beside(recipe.stage_scale, recipe.model)
        if beside is not None and (recipe.super_resolution.guard == "auto" or recipe.super_resolution.blend < 1):
            entries.append(beside)
    if recipe.may_restore:
        entries.append(load_catalogue().restoration(recipe.stage_scale, recipe.restoration.model))
    if recipe.jpeg.mode == "auto":
        entries.append(load_catalogue().default("jpeg"))
    if recipe.scratches.mode == "auto":
        entries.append(load_catalogue().default("scratches"))
    if recipe.fading.mode == "auto" and recipe.fading.method == "learned":
        entries.append(load_catalogue().default("colour"))
    weights = {entry.name: entry.sha256 for entry in entries}
    if recipe.denoise_strength > 0:
        name, sha256 = denoiser_weights(recipe.denoise_model)
        weights[name] = sha256
    return weights


def identity_of(data_digest: str, recipe: Recipe, weights: Mapping[str, str] | None = None) -> str:
    """The identity of the result of enhancing an input as `recipe` says.

    Args:
        data_digest: :func:`digest` of the input's bytes.
        recipe: as requested, after all rules and params; its precision is the requested one.
        weights: net names to hashes; None: :func:`weights_for` the recipe.

    Returns:
        64 hexadecimal digits: blake3 of a JSON object with sorted keys, in which no two ingredients can run together.
    """
    ingredients = {
        "input": data_digest,
        "recipe": recipe.canonical_json(),
        "weights": dict(weights_for(recipe) if weights is None else weights),
        "precision": recipe.precision,
        "pipeline": PIPELINE_VERSION,
    }
    return blake3(json.dumps(ingredients, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
