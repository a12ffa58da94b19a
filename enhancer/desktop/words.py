"""What became of a picture, in words for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from enhancer.contract import ItemRecord
from enhancer.desktop.text import tr
from enhancer.files import visible


def stage_in_words(stage: str) -> str:
    """A stage's name; one of another package by its own."""
    words = {
        "picture-kind": tr("Picture kind"),
        "size-limit": tr("Size limit"),
        "lens-correction": tr("Lens correction"),
        "impulse-repair": tr("Stray pixels"),
        "restoration": tr("Restoration"),
        "jpeg-artifacts": tr("JPEG artefacts"),
        "scratches": tr("Scratches"),
        "fading": tr("Fading"),
        "exposure": tr("Exposure"),
        "colour-cast": tr("Colour cast"),
        "denoising": tr("Denoising"),
        "super-resolution": tr("Enlarging"),
        "artifact-guard": tr("Artefact guard"),
        "colour-fix": tr("Colours kept"),
        "local-contrast": tr("Local contrast"),
        "tone": tr("Tone"),
        "sharpening": tr("Sharpening"),
    }
    return words.get(stage, stage.replace("-", " ").capitalize())


def decisions_in_words(decisions: Iterable[dict[str, Any]]) -> str:
    """One line per stage: what acted first, with its reason; then what was left."""
    acted: list[str] = []
    left: list[str] = []
    for one in decisions:
        line = f"{stage_in_words(one['stage'])}: {one['reason']}"
        (acted if one["applied"] else left).append(visible(line))
    lines = [f"✓ {line}" for line in acted] + [f"– {line}" for line in left]
    return "\n".join(lines)


def record_in_words(record: ItemRecord) -> str:
    """The whole of a finished picture: error or result, scores, decisions, warnings."""
    if record.error is not None:
        return (
            tr("Failed: {reason}", reason=visible(record.error.message))
            + "\n"
            + tr("The other pictures are not affected. Mend the cause and choose “Try again”, or remove the picture.")
        )
    lines = [tr("Saved as {path}", path=visible(record.output or ""))]
    reference, baseline = record.scores.get("reference"), record.scores.get("baseline")
    if reference is not None:
        psnr, ssim = reference.get("psnr"), reference.get("ssim")
        if psnr is not None and ssim is not None:
            lines.append(tr("Against the truth: PSNR {psnr} dB, SSIM {ssim}", psnr=f"{psnr:.2f}", ssim=f"{ssim:.3f}"))
        if baseline is not None and baseline.get("psnr") is not None:
            lines.append(tr("Plain enlarging: PSNR {psnr} dB", psnr=f"{baseline['psnr']:.2f}"))
    lines.append(decisions_in_words(one.model_dump(mode="json") for one in record.decisions))
    lines += [visible(f"! {warning}") for warning in record.warnings]
    return "\n".join(line for line in lines if line)
