from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from PIL import Image

PLAIN = ("--scale", "1", "--denoise-strength", "0")
"""A recipe that needs no net: quick, and the whole way from file to file."""


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_goes_on_after_a_bad_file(run, pictures, tmp_path):
    before = contents(pictures)
    out = tmp_path / "out"
    ran = run("enhance", pictures, "-o", out, *PLAIN, "--json")
    assert ran.code == 3
    reply = ran.reply
    assert (reply.command, reply.ok, reply.schema_version) == ("enhance", False, 1)
    assert (reply.summary["done"], reply.summary["failed"]) == (2, 1)
    states = {os.path.relpath(item.input, pictures): item.state for item in reply.items}
    assert states == {"bad.png": "quarantined", "small.png": "published", "sub dir/größe ☂ [red]x.jpg": "published"}
    bad = next(item for item in reply.items if item.error)
    assert (bad.error.error_class, bad.error.stage, bad.output) == ("truncated", "decode", None)
    assert sorted(contents(out)) == ["small.png", "sub dir/größe ☂ [red]x.jpg"]
    assert contents(pictures) == before


def test_people_see_each_picture_and_the_failures(run, pictures, tmp_path):
    ran = run("enhance", pictures, "-o", tmp_path / "out", *PLAIN)
    assert ran.code == 3
    assert "größe ☂ [red]x.jpg" in ran.stdout
    assert "nothing to do" in ran.stdout
    assert "1 failed:" in ran.stdout
    assert "[truncated, decode]" in ran.stdout


def test_enlarges_four_times(run, tmp_path, crop):
    Image.fromarray(crop(16)).save(tmp_path / "a.png")
    ran = run("enhance", tmp_path / "a.png", "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.stderr
    (item,) = ran.reply.items
    assert item.models.keys() == {"fast-x4"}
    assert item.output == str(tmp_path / "out" / "a.png")
    with Image.open(item.output) as made:
        assert made.size == (64, 64) == (item.output_width, item.output_height)
        # An independent oracle for "the same picture, larger": reduced again, it is the input.
        reduced = np.asarray(made.convert("RGB").resize((16, 16), Image.Resampling.BICUBIC), dtype=float)
    assert np.abs(reduced - crop(16)).mean() < 2


def test_an_input_is_never_overwritten(run, pictures, tmp_path):
    before = contents(pictures)
    same_folder = run("enhance", pictures, "-o", pictures, *PLAIN, "--json")
    assert same_folder.code == 1
    assert "never overwritten" in same_folder.reply.summary["error"]["message"]
    single = run("enhance", pictures / "small.png", "-o", pictures, *PLAIN, "--json")
    assert single.code == 3
    assert single.reply.items[0].error.error_class == "target-taken"
    link = tmp_path / "link"
    link.symlink_to(pictures)
    assert run("enhance", pictures / "small.png", "-o", link, *PLAIN).code == 3
    assert contents(pictures) == before


def test_the_other_extension_is_appended(run, tmp_path, crop):
    Image.fromarray(crop(16)).save(tmp_path / "a.bmp")
    ran = run("enhance", tmp_path / "a.bmp", "-o", tmp_path, *PLAIN, "--json")
    assert ran.code == 0, ran.stdout
    with Image.open(tmp_path / "a.bmp.png") as made:
        assert np.array_equal(np.asarray(made), crop(16))


def test_an_output_folder_inside_the_input_is_passed_over(run, pictures):
    for _ in range(2):
        reply = run("enhance", pictures, "-o", pictures / "sub dir" / "out", *PLAIN, "--json").reply
        assert len(reply.items) == 3


def test_globs_and_hidden_files(run, pictures, tmp_path):
    (pictures / ".thumbs.db").write_bytes(b"not a picture")
    reply = run("enhance", pictures / "**" / "*.jpg", pictures / "sm*", "-o", tmp_path / "out", *PLAIN, "--json").reply
    assert reply.ok
    assert sorted(contents(tmp_path / "out")) == ["größe ☂ [red]x.jpg", "small.png"]
    assert len(run("enhance", pictures, "-o", tmp_path / "out", *PLAIN, "--json").reply.items) == 3


def test_rivals_for_one_output_are_refused(run, pictures, tmp_path, crop):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(crop(16)).save(other / "small.png")
    out = tmp_path / "out"
    ran = run("enhance", pictures / "small.png", other / "small.png", pictures / "sub dir", "-o", out, *PLAIN, "--json")
    assert ran.code == 3
    refused = {item.input for item in ran.reply.items if item.error and item.error.error_class == "same-output"}
    assert refused == {str(pictures / "small.png"), str(other / "small.png")}
    assert list(contents(out)) == ["größe ☂ [red]x.jpg"]


def test_the_same_file_twice_is_one(run, pictures, tmp_path):
    path = pictures / "small.png"
    reply = run("enhance", path, path, "-o", tmp_path / "out", *PLAIN, "--json").reply
    assert (reply.ok, len(reply.items)) == (True, 1)


def test_what_is_missing_is_an_item(run, pictures, tmp_path):
    ran = run("enhance", tmp_path / "no*.png", pictures / "small.png", "-o", tmp_path / "out", *PLAIN, "--json")
    assert ran.code == 3
    assert [item.error and item.error.error_class for item in ran.reply.items] == ["missing", None]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are Unicode")
def test_a_name_that_is_no_utf8(run, tmp_path, crop):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(crop(16)).save(folder / "plain.png")
    (folder / "plain.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))
    ran = run("enhance", folder, "-o", tmp_path / "out", *PLAIN, "--json")
    assert ran.code == 0
    assert ran.reply.items[0].input.endswith("\\udcff.png")
    assert [os.fsencode(path.name) for path in (tmp_path / "out").iterdir()] == [b"\xff.png"]


@pytest.mark.parametrize(
    ("options", "reason", "says"),
    [
        (("--recipe", "fotto"), "unknown-recipe", "did you mean 'photo'?"),
        (("--recipe", '{"scale": 99}'), "bad-recipe", "scale"),
        (("--recipe", "@nowhere.json"), "bad-file", "nowhere.json"),
        (("--model", "dat-light-x9"), "unknown-model", "did you mean"),
    ],
)
def test_a_bad_request_fails_the_command_before_any_work(run, pictures, tmp_path, options, reason, says):
    ran = run("enhance", pictures, "-o", tmp_path / "out", *options, "--json")
    assert ran.code == 1
    error = ran.reply.summary["error"]
    assert error["class"] == reason
    assert says in error["message"]
    assert not (tmp_path / "out").exists()


def test_a_recipe_file_and_options_that_win(run, pictures, tmp_path):
    (tmp_path / "recipe.json").write_text('{"name": "mine", "scale": 3, "denoise_strength": 0}')
    out = tmp_path / "out"
    given = ("--recipe", f"@{tmp_path / 'recipe.json'}", "--scale", "1", "--json")
    (item,) = run("enhance", pictures / "small.png", "-o", out, *given).reply.items
    assert (item.recipe, item.scale, item.output_width) == ("mine", 1, 16)


def test_weights_that_cannot_be_had_fail_the_command_once(run, pictures, tmp_path):
    nowhere = {"ENHANCER_OFFLINE": "1", "ENHANCER_MODEL_DIR": str(tmp_path / "models")}
    ran = run("enhance", pictures, "-o", tmp_path / "out", "--model", "dat-light-x4", "--json", **nowhere)
    assert ran.code == 1
    assert ran.reply.summary["error"]["class"] == "offline"
    assert ran.reply.items == []


def test_single_values_of_the_recipe_are_set(run, pictures, tmp_path):
    out = tmp_path / "out"
    ran = run("enhance", pictures / "small.png", "-o", out, *PLAIN, "--set", "output.format=TIFF", "--json")
    assert ran.code == 0, ran.stderr
    with Image.open(out / "small.png.tif") as made:
        assert made.format == "TIFF"
    ran = run("enhance", pictures / "small.png", "-o", out, *PLAIN, "--set", "sharpness.amount=1", "--json")
    assert (ran.code, ran.reply.summary["error"]["class"]) == (1, "unknown-setting")
    assert "did you mean 'sharpening.amount'?" in ran.reply.summary["error"]["message"]


def test_a_sheet_shows_before_and_after(run, tmp_path):
    red, blue = (np.full((64, 96, 3), colour, np.uint8) for colour in ((250, 0, 0), (0, 0, 250)))
    (tmp_path / "in").mkdir()
    Image.fromarray(red).save(tmp_path / "in" / "a.png")
    Image.fromarray(blue).save(tmp_path / "in" / "b.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    sheet = tmp_path / "sheet.png"
    ran = run("enhance", tmp_path / "in", "-o", tmp_path / "out", *PLAIN, "--sheet", sheet, "--json")
    assert ran.code == 3
    assert ran.reply.summary["sheet"] == str(sheet)
    with Image.open(sheet) as made:
        pixels = np.asarray(made.convert("RGB"))
    shown = [np.all(pixels == colour, axis=2) for colour in ((250, 0, 0), (0, 0, 250))]
    for mask in shown:  # a row of four tiles: whole before, whole after, and two details
        columns = np.flatnonzero(mask.any(axis=0))
        assert (np.diff(columns) > 1).sum() == 3
    assert np.flatnonzero(shown[0].any(axis=1)).max() < np.flatnonzero(shown[1].any(axis=1)).min()


@pytest.mark.parametrize(("name", "reason"), [("sheet.gif", "bad-file"), ("in/small.png", "target-taken")])
def test_a_sheet_that_cannot_be(run, pictures, tmp_path, name, reason):
    before = contents(pictures)
    ran = run("enhance", pictures, "-o", tmp_path / "out", *PLAIN, "--sheet", tmp_path / name, "--json")
    assert (ran.code, ran.reply.summary["error"]["class"]) == (1, reason)
    assert contents(pictures) == before
    assert not (tmp_path / "out").exists()


def test_objects_of_a_bucket(run, s3, crop, tmp_path):
    from enhancer.storage import open_store

    bucket = s3.bucket()
    store = open_store(bucket, s3.settings())
    whole = tmp_path / "a.png"
    Image.fromarray(crop(16)).save(whole)
    for key in ("in/a.png", "in/deep/ä [1].png", "in/out/old.png", "in/.hidden.png", "inn/c.png"):
        store.put(key, whole.read_bytes())
    store.put("in/b.txt", b"no picture")
    env = {
        "ENHANCER_S3_ENDPOINT_URL": s3.endpoint,
        "ENHANCER_S3_ACCESS_KEY_ID": s3.keys.access_key,
        "ENHANCER_S3_SECRET_ACCESS_KEY": s3.keys.secret_key,
        "ENHANCER_S3_REGION": s3.region,
    }

    def enhance(*arguments):
        return run("enhance", *arguments, *PLAIN, "--json", **env)

    ran = enhance(f"{bucket}/in", "-o", f"{bucket}/in/out")
    assert ran.code == 3
    states = {item.input: (item.output, item.state) for item in ran.reply.items}
    assert states == {
        f"{bucket}/in/a.png": (f"{bucket}/in/out/a.png", "published"),
        f"{bucket}/in/deep/ä [1].png": (f"{bucket}/in/out/deep/ä [1].png", "published"),
        f"{bucket}/in/b.txt": (None, "quarantined"),
    }
    assert store.get("in/out/a.png").data == whole.read_bytes()  # clean: byte by byte
    one = enhance(f"{bucket}/in/deep/ä [1].png", "-o", tmp_path / "out")
    assert (one.code, (tmp_path / "out" / "ä [1].png").read_bytes()) == (0, whole.read_bytes())
    globbed = enhance(f"{bucket}/in*/*.png", whole, "-o", f"{bucket}/globbed")
    assert len(globbed.reply.items) == 7  # six objects by now, and the file
    assert enhance(f"{bucket}/nowhere", "-o", f"{bucket}/out").reply.items[0].error.error_class == "missing"
    assert "never overwritten" in enhance(f"{bucket}/in", "-o", f"{bucket}/in/").reply.summary["error"]["message"]
    taken = enhance(f"{bucket}/in/a.png", "-o", f"{bucket}/in").reply.items[0]
    assert taken.error.error_class == "target-taken"


class TestTheCache:
    """The same picture under the same recipe is computed once; all that is told of it is told again."""

    def test_the_second_time_the_result_is_known(self, run, pictures, tmp_path):
        first = run("enhance", pictures, "-o", tmp_path / "one", *PLAIN, "--json")
        second = run("enhance", pictures, "-o", tmp_path / "two", *PLAIN, "--json")
        assert (first.reply.summary["cached"], second.reply.summary["cached"]) == (0, 2)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")
        for before, after in zip(first.reply.items, second.reply.items, strict=True):
            assert after.cached is (before.error is None)
            told = {"timings", "output", "cached"}
            assert before.model_dump(exclude=told) == after.model_dump(exclude=told)
            assert "enhance" not in after.timings
        assert "2 of them known from before" in run("enhance", pictures, "-o", tmp_path / "three", *PLAIN).stdout

    def test_another_recipe_is_other_work(self, run, pictures, tmp_path):
        run("enhance", pictures / "small.png", "-o", tmp_path / "one", *PLAIN)
        other = run(
            "enhance", pictures / "small.png", "-o", tmp_path / "two", *PLAIN, "--set", "output.format=TIFF", "--json"
        )
        assert other.reply.summary["cached"] == 0
        assert sorted(contents(tmp_path / "two")) == ["small.png.tif"]

    def test_a_damaged_file_is_computed_again(self, run, pictures, tmp_path):
        run("enhance", pictures / "small.png", "-o", tmp_path / "one", *PLAIN)
        (kept,) = [path for path in (tmp_path / "home" / "results").rglob("*") if len(path.name) == 64]
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
        again = run("enhance", pictures / "small.png", "-o", tmp_path / "two", *PLAIN, "--json")
        assert again.reply.summary["cached"] == 0
        assert contents(tmp_path / "one") == contents(tmp_path / "two")

    def test_it_can_be_switched_off(self, run, pictures, tmp_path):
        for _ in range(2):
            ran = run(
                "enhance", pictures / "small.png", "-o", tmp_path / "out", *PLAIN, "--json", ENHANCER_CACHE="false"
            )
            assert ran.reply.summary["cached"] == 0
        assert not (tmp_path / "home" / "results").exists()

    def test_a_sheet_shows_pictures_that_were_computed_now(self, run, pictures, tmp_path):
        for name in ("one", "two"):
            sheet = tmp_path / f"{name}.png"
            ran = run("enhance", pictures / "small.png", "-o", tmp_path / name, *PLAIN, "--sheet", sheet, "--json")
            assert ran.reply.summary["cached"] == 0
            assert sheet.exists()
