"""The application as a user starts it: on an X server of its own, driven by keys and looked at through a screenshot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from skimage import data


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)


@pytest.fixture
def screen() -> Iterator[dict[str, str]]:
    """The environment of an X server; .ci/run installs what it needs and fails where it cannot."""
    for program in ("Xvfb", "xdotool", "import"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} on the PATH")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    with os.fdopen(read) as said:
        number = said.readline().strip()
    try:
        yield {**os.environ, "DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        server.kill()
        server.wait()


def test_a_folder_of_ten_by_keyboard(screen: dict[str, str], tmp_path: Path) -> None:
    folder, home = tmp_path / "in", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for number in range(10):
        part = data.astronaut()[number * 20 : number * 20 + 60, 100:160]
        Image.fromarray(part).save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"not a picture")
    (home / "image-enhancer").mkdir()
    (home / "image-enhancer" / "image-enhancer.ini").write_text(f"[General]\noutput={tmp_path / 'out'}\nscale=2\n")
    environment = {**screen, "XDG_CONFIG_HOME": str(home), "ENHANCER_HOME": str(tmp_path / "state")}

    def xdotool(*arguments: str) -> str:
        done = subprocess.run(["xdotool", *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def results() -> int:
        return len(list((tmp_path / "out").rglob("*.png")))

    command = [sys.executable, "-m", "enhancer.cli", "desktop", str(folder)]
    application = subprocess.Popen(command, env=environment)
    try:
        until(lambda: xdotool("search", "--onlyvisible", "--name", "^Image Enhancer$") != "")
        window = xdotool("search", "--onlyvisible", "--name", "^Image Enhancer$").split()[0]
        xdotool("windowfocus", "--sync", window)
        until(lambda: xdotool("getwindowfocus") == window)
        xdotool("key", "ctrl+Return")
        until(lambda: results() >= 1)
        xdotool("key", "ctrl+period")
        xdotool("key", "ctrl+Return")
        until(lambda: results() == 9)
        shot = tmp_path / "screen.png"
        subprocess.run(["import", "-window", "root", str(shot)], env=environment, check=True)
        with Image.open(shot) as picture:
            colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 500, "there is a photograph on the screen"
        if kept := os.environ.get("DESKTOP_SCREENSHOT"):
            shutil.copy(shot, kept)
        time.sleep(1)  # the last event of the batch is on its way to the window, which else asks before it closes
        xdotool("key", "ctrl+q")
        assert application.wait(60) == 0
    finally:
        application.kill()
        application.wait()
    assert (folder / "4.png").read_bytes() == b"not a picture"
