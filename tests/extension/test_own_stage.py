"""A new stage of this package is one module and one line: the same class by the other door."""

from __future__ import annotations

import json

from tests.extension.conftest import CHECKOUT, Installed

PROGRAM = f"""
import sys
sys.path.insert(0, {str(CHECKOUT / "tests" / "extension" / "package")!r})
from enhancer import extensions
extensions.OWN["soft-focus"] = "enhancer_tiny.soft_focus:SoftFocus"
import numpy as np
from enhancer.identity import packages_for
from enhancer.image import Document, image_from_array
from enhancer.processing import ImageEnhancer
from enhancer.recipe import preset, with_settings
recipe = with_settings(preset("archive", denoise_strength=0), ["soft_focus.mode=on"])
enhancer = ImageEnhancer(recipe)
pixels = np.random.default_rng(1).integers(1, 255, (32, 32, 3), dtype=np.uint8)
done = enhancer.enhance_document(Document((image_from_array(pixels),)))
applied = [one.model_dump() for one in done.decisions if one.applied]
print(json.dumps([applied, packages_for(recipe), bool((done.document.first.pixels != pixels).any())]))
"""


def test_a_line_in_the_table_is_all_that_it_needs(bare: Installed) -> None:
    applied, packages, changed = bare.evaluate(PROGRAM)
    assert [one["stage"] for one in applied] == ["soft-focus"]
    assert json.loads(json.dumps(applied[0]["numbers"])) == {"amount": 0.5}  # of this package: no other's name
    assert packages == {}
    assert changed
