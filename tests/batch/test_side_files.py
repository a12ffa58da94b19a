"""What of an input is no picture: by key, by content type, by what earlier runs found, and what is counted of it."""

from __future__ import annotations

import mimetypes
from typing import Any

import pytest
from PIL import Image

from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.redriving import redrive_request
from enhancer.batch.side_files import Pictures, few_kinds, in_words, kind_of, suffix_of
from enhancer.codecs.formats import formats
from enhancer.errors import RequestError
from enhancer.files import REFUSED
from enhancer.ledger import ItemState
from enhancer.settings import Settings
from tests.batch.in_process import enhance
from tests.batch.site_builder import PLAIN, Site, keys_of, png

KINDS = {
    "IMG_1.jpg.supplemental-metadata.json": ".json",
    "a/IMG_1.XMP": ".xmp",
    "IMG_1.MOV": ".mov",
    "IMG_1.AAE": ".aae",
    "notes.txt": ".txt",
    "b/.DS_Store": ".DS_Store",
    "._IMG_1.jpg": "._*",
    "._IMG_1": "._*",
    "THUMBS.DB": "Thumbs.db",
    "c/desktop.ini": "desktop.ini",
    ".nomedia": ".nomedia",
    "clip.mp4": ".mp4",
    "scan.pdf": ".pdf",
    "catalogue.jpg_original": ".jpg_original",
}
SAY_NOTHING = ["IM000001", "scan 12.5", "2026.01.03", "a.b/IM1", "trailing dot.", "photo.JPG ", "写真.写真"]


@pytest.fixture(scope="module")
def known() -> Pictures:
    return Pictures.from_settings(Settings())


@pytest.mark.parametrize("key", KINDS)
def test_side_files_are_told_by_their_keys(known: Pictures, key: str) -> None:
    assert known.by_key(key) is False
    assert kind_of(key) == KINDS[key]


@pytest.mark.parametrize("key", SAY_NOTHING)
def test_keys_that_say_nothing(known: Pictures, key: str) -> None:
    assert (known.by_key(key), kind_of(key)) == (None, "no suffix")


@pytest.mark.parametrize(
    "key", ["a.JPG", "b/größe ☂ [red]x.Tiff", "copy of 0.png", ".hidden.webp", "x.nef", "a.b.heic"]
)
def test_pictures_are_told_by_their_keys(known: Pictures, key: str) -> None:
    assert known.by_key(key) is True


def test_every_suffix_that_is_written_and_all_of_pillows_for_the_formats_that_are_read_are_known(
    known: Pictures,
) -> None:
    names = {spec.name for spec in formats()}
    assert {"JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000"} <= names, "as Pillow calls them"
    pillows = {suffix for suffix, name in Image.registered_extensions().items() if name in names | {"MPO", "DIB"}}
    assert len(pillows) > 12
    assert pillows | {suffix for spec in formats() for suffix in spec.extensions} <= known.suffixes


def test_no_suffix_of_another_kind_of_file_is_taken_for_a_picture(known: Pictures) -> None:
    others = {suffix for suffix, kind in mimetypes.MimeTypes().types_map[1].items() if not kind.startswith("image/")}
    assert not others & known.suffixes - REFUSED


@pytest.mark.parametrize(
    ("given", "suffixes"),
    [(".jpg, .TIF", {".jpg", ".tif"}), ("+.scan", {".scan", ".jpg", ".tif"}), ("", {".jpg", ".png"})],
)
def test_the_setting_lists_what_is_a_picture(given: str, suffixes: set[str]) -> None:
    found = Pictures.from_settings(Settings(picture_suffixes=given)).suffixes
    assert found == suffixes if not given.startswith("+") and given else found > suffixes


@pytest.mark.parametrize(
    ("setting", "value"),
    [("picture_suffixes", "jpg"), ("picture_suffixes", ".j pg"), ("picture_content_types", "image")],
)
def test_what_can_be_no_suffix_or_content_type_is_refused(setting: str, value: str) -> None:
    with pytest.raises(RequestError, match=f"ENHANCER_{setting.upper()}") as caught:
        Pictures.from_settings(Settings(**{setting: value}))
    assert caught.value.reason == "bad-setting"


@pytest.mark.parametrize(
    ("content_type", "said"),
    [
        ("image/jpeg", True),
        ("Image/PNG; charset=binary", True),
        ("application/dicom", True),
        ("text/plain", False),
        ("application/json", False),
        ("application/octet-stream", None),
        ("binary/octet-stream", None),
        ("", None),
        (None, None),
    ],
)
def test_content_types(known: Pictures, content_type: str | None, said: bool | None) -> None:
    assert known.by_content_type(content_type) is said


def test_kinds_are_bounded_in_number_and_length() -> None:
    assert few_kinds({f".k{number}": number for number in range(60)})["other"] == sum(range(10))
    assert list(few_kinds({".a": 1, ".b": 3})) == [".b", ".a"]
    assert suffix_of("x." + "y" * 17) is None
    assert suffix_of("x.a\udc80") is suffix_of("x.a\0") is suffix_of("x.a\x1b[31m") is None
    assert kind_of(".a\udc80") == kind_of("." + "y" * 17) == "hidden file"
    assert (in_words({".b": 3, ".a": 1}), in_words({".a": 1}), in_words({})) == (
        "4 side files (.b 3, .a 1)",
        "1 side file (.a 1)",
        "",
    )


# ---------------------------------------------------------------- in runs


def settle_as_an_old_version_did(site: Site, *keys: str) -> None:
    """A finished run, of before side files were told apart, in which these keys were quarantined as no pictures."""
    everything = site.settings.model_copy(update={"picture_suffixes": "+.json,.mov"})
    request = site.request()
    plan_run(request, settings=everything, run_id="old", trigger="cli")
    for key in keys:
        site.settle("old", key, ItemState.QUARANTINED, stage="decode", error_class="not-a-picture", error_message="no")
    site.finish("old")


def test_planning_passes_side_files_over_and_counts_them(site: Site) -> None:
    site.put_key("a.png", png(1))
    for key in ("a.json", "b/c.JSON", "clip.mov", "Thumbs.db"):
        site.put_key(key, b"x")
    plan = site.plan("r1")
    assert keys_of(site, plan) == ["a.png"]
    assert (plan.summary["listed"], plan.summary["side_files"]) == (1, {".json": 2, ".mov": 1, "Thumbs.db": 1})
    assert plan_run(
        site.request(),
        settings=site.settings.model_copy(update={"picture_suffixes": ".mov"}),
        run_id="r2",
        trigger="cli",
    ).summary["side_files"] == {".json": 2, ".png": 1, "Thumbs.db": 1}


@pytest.mark.parametrize("rerun", ["missing", "failed", "all"])
def test_old_verdicts_on_side_files_are_neither_repeated_nor_worked_on(site: Site, rerun: str) -> None:
    for key in ("a.json", "b.mov", "broken.jpg"):
        site.put_key(key, b"no picture")
    settle_as_an_old_version_did(site, "a.json", "b.mov", "broken.jpg")
    plan = site.plan("new", rerun=rerun)
    assert set(site.states("new")) == {"broken.jpg"}, "what is called a picture and is none, is a failure still"
    assert plan.summary["side_files"] == {".json": 1, ".mov": 1}


def test_nor_are_they_tried_again_by_a_redrive(site: Site) -> None:
    for key in ("a.json", "broken.jpg", "README"):
        site.put_key(key, b"no picture")
    settle_as_an_old_version_did(site, "a.json", "broken.jpg", "README")
    params: dict[str, Any] = {"input_url": str(site.input), "output_url": str(site.output), "quarantined": True}
    request = redrive_request({**params, "work_url": str(site.work)}, site.settings)
    plan = plan_run(request, settings=site.settings, run_id="again", trigger="cli")
    assert keys_of(site, plan) == ["broken.jpg"]
    assert plan.summary["side_files"] == {".json": 1, "no suffix": 1}


def test_nor_is_an_old_verdict_on_a_key_that_says_nothing(site: Site) -> None:
    site.put_key("README", b"How these pictures came about.\n" * 9)
    settle_as_an_old_version_did(site, "README")
    plan = site.plan("new")
    assert (plan.shards, plan.summary["side_files"], site.states("new")) == ([], {"no suffix": 1}, {})
    site.finish("new")
    assert keys_of(site, site.plan("asked for", rerun="all")) == ["README"]
    site.put_key("README", png(1))
    assert keys_of(site, site.plan("changed")) == ["README"], "its bytes are others"


def test_what_says_nothing_and_is_no_picture_is_skipped_and_not_read_again(site: Site) -> None:
    site.put_key("README", b"How these pictures came about.\n" * 9)
    enhance(site, site.plan("r1"))
    row = site.items("r1")["README"]
    assert (row.state, row.stage, row.error_class) == ("skipped", "decode", "not-a-picture")
    site.finish("r1")
    for run_id in ("r2", "r3"):
        again = site.plan(run_id)
        assert (again.shards, again.summary["side_files"]) == ([], {"no suffix": 1})
        site.finish(run_id)


def test_what_its_content_type_denied_is_work_once_the_type_is_listed(site: Site) -> None:
    for key in ("IM1", "IM2"):
        site.put_key(key, png(1))
    site.plan("r1")
    for key, content_type in (("IM1", "image/x-own"), ("IM2", "text/plain")):
        denied = {"stage": "read", "error_class": "not-a-picture", "details": {"content_type": content_type}}
        site.settle("r1", key, ItemState.SKIPPED, **denied)
    site.finish("r1")
    narrow = site.settings.model_copy(update={"picture_content_types": "image/jpeg"})
    plan = plan_run(site.request(), settings=narrow, run_id="r2", trigger="cli")
    assert (plan.shards, plan.summary["side_files"]) == ([], {"no suffix": 2})
    site.finish("r2")
    assert keys_of(site, site.plan("r3")) == ["IM1"]


def test_what_is_found_by_its_bytes_is_enhanced(site: Site) -> None:
    site.put_key("IM000001", png(1))
    plan = site.plan("r1", recipe=PLAIN)
    enhance(site, plan)
    assert site.states("r1") == {"IM000001": "enhanced"}
