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
    assert item.models.keys() == {"dat-light-x4"}
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
    ran = run("enhance", pictures, "-o", tmp_path / "out", "--json", **nowhere)
    assert ran.code == 1
    assert ran.reply.summary["error"]["class"] == "offline"
    assert ran.reply.items == []
