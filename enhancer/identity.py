"""When two enhancements are the same: one hash over everything that may change the result, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from blake3 import blake3

from enhancer.extensions import stage_extensions
from enhancer.models.catalogue import Purpose, fidelity_entry_beside, load_catalogue, super_resolution_entry
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
        the recipe enlarges, the one for drawings beside it where none is named, the fidelity net beside it where that
        is a perceptual one and is mixed or guarded, the denoiser where its strength is above 0, and for each stage what
        its options name (:meth:`enhancer.options.StageOptions.nets`): the restoring net only where the recipe may use
        it.

    Raises:
        ModelError: the recipe names a net that the catalogue does not have, or one of another purpose.
    """
    catalogue = load_catalogue()
    asked = recipe.stage_options()
    if not recipe.may_restore:  # which values at the top of the recipe decide too
        del asked["restoration"]
    entries = [
        catalogue.serving(cast("Purpose", purpose), recipe.stage_scale, options.named_net(purpose))
        for options in asked.values()
        for purpose in options.nets()  # of an unknown purpose there is no net, which is an error
    ]
    if recipe.scale > 1:
        entries.append(super_resolution_entry(recipe.stage_scale, recipe.model))
        if recipe.model is None:
            entries.append(catalogue.serving("drawing", recipe.stage_scale))
        beside = fidelity_entry_beside(recipe.stage_scale, recipe.model)
        if beside is not None and (recipe.artifact_guard.wanted() or recipe.super_resolution.blend < 1):
            entries.append(beside)
    weights = {entry.name: entry.sha256 for entry in entries}
    if recipe.denoise_strength > 0:
        name, sha256 = denoiser_weights(recipe.denoise_model)
        weights[name] = sha256
    return weights


def packages_for(recipe: Recipe) -> dict[str, str]:
    """Other packages whose stages may act under `recipe`: names to versions.

    Raises:
        RequestError: such a stage cannot be loaded.
    """
    asked = recipe.stage_options()
    foreign = {key: one for key, one in stage_extensions().items() if one.foreign}
    return {one.distribution: one.version for key, one in foreign.items() if asked[key].wanted()}


def identity_of(
    data_digest: str, recipe: Recipe, weights: Mapping[str, str] | None = None, *, signer: str | None = None
) -> str:
    """The identity of the result of enhancing an input as `recipe` says.

    Args:
        data_digest: :func:`digest` of the input's bytes.
        recipe: as requested, after all rules and params; its precision is the requested one.
        weights: net names to hashes; None: :func:`weights_for` the recipe.
        signer: who signs the result (:attr:`enhancer.codecs.signing.Signing.identity`); None: nobody.

    Returns:
        64 hexadecimal digits: blake3 of a JSON object with sorted keys, in which no two ingredients can run together.
        Packages that add stages are among them only where their stages may act.
    """
    ingredients: dict[str, object] = {
        "input": data_digest,
        "recipe": recipe.canonical_json(),
        "weights": dict(weights_for(recipe) if weights is None else weights),
        "precision": recipe.precision,
        "pipeline": PIPELINE_VERSION,
    }
    if packages := packages_for(recipe):
        ingredients["packages"] = packages
    if signer is not None:  # only then, so that results which are not signed keep their identities
        ingredients["signer"] = signer
    return blake3(json.dumps(ingredients, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
