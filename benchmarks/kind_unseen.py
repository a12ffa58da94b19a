"""Pictures that nothing was chosen on, for :mod:`benchmarks.bench_kinds`: made by other means than the chosen material.

Pages and screens are laid out and drawn by Chromium from HTML of ours, with the system's fonts; text is set by FreeType
in DejaVu and scanned here; photographs of Set14 are engraved, dithered and printed in dots; the desktop's icons are as
its designers drew them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Bytes = NDArray[np.uint8]

PROSE: Final = (
    "When the survey of the coast was begun, few of the older charts could be trusted within a mile. Soundings were "
    "taken by hand, at intervals of fifty yards; 1,284 of them in the first season (see plate IV). "
)
CODE: Final = "def total(rows):\n    # blanks are ignored\n    return sum(int(row[1]) for row in rows if row[1])\n\n"
FONTS: Final = Path("/usr/share/fonts/truetype/dejavu")
ICONS: Final = Path("/usr/share/icons/Adwaita")


def pages() -> dict[str, str]:
    """HTML documents by name."""
    cells = "".join(
        "<tr>" + "".join(f"<td>{(7 * r + 31 * c) ** 2 % 9973}</td>" for c in range(9)) + "</tr>" for r in range(30)
    )
    bars = "".join(f'<rect x="{20 + 45 * k}" y="{200 - v}" width="30" height="{v}" fill="hsl({40 * k},65%,50%)"/>'
                   for k, v in enumerate((40, 90, 150, 120, 60, 180, 75)))  # fmt: skip
    curve = " ".join(f"{4 * k},{110 + 80 * np.sin(k / 9):.1f}" for k in range(100))
    chart = f'<svg width="420" height="220">{bars}<polyline points="{curve}" fill="none" stroke="#234"/></svg>'
    button = '<button style="padding:8px 20px;border-radius:6px;background:{};color:white;border:0">Save</button> '
    buttons = "".join(button.format(tint) for tint in ("#0d6efd", "#198754", "#1b1f2a", "#7a1020"))
    plain = "font-family:DejaVu Sans;margin:12px;font-size:14px"
    return {
        "article": f"<body style='font:16px/1.5 DejaVu Serif;margin:24px'><h1>Survey</h1><p>{PROSE * 6}</p></body>",
        "small print": f"<body style='font:9px DejaVu Sans;columns:3'>{PROSE * 40}</body>",
        "table": f"<style>td{{border:1px solid #999;padding:2px 6px}}</style><table>{cells}</table>",
        "dark editor": f"<body style='background:#1e1e24;color:#d4d4c8;font:13px monospace'><pre>{CODE * 12}</pre>",
        "terminal": f"<body style='background:#000;color:#3f3;font:12px DejaVu Sans Mono'><pre>{CODE * 12}</pre>",
        "dashboard": f"<body style='{plain};background:#f4f6f8'><h2>July</h2>{chart}{chart}<p>{buttons}</p></body>",
        "dark dashboard": f"<body style='{plain};background:#14171f;color:#ccd'><h2>July</h2>{chart}{buttons}</body>",
        "form": "<body>" + "<p>Name <input value='Ann'> <input type=checkbox checked> ok</p>" * 9 + buttons,
        "gradient": "<body style='margin:0;height:100vh;background:linear-gradient(70deg,#102018,#351a2c)'></body>",
        "light gradient": "<body style='margin:0;height:100vh;background:radial-gradient(#fee,#c5e0b4)'></body>",
        "drawing": "<body><svg width='800' height='600' fill='none' stroke='black'>"
        + "".join(f"<circle cx='{400 + 9 * k}' cy='300' r='{20 + 7 * k}'/><path d='M0 {15 * k} L800 {600 - 15 * k}'/>"
                  for k in range(30)) + "</svg></body>",
    }  # fmt: skip


def screenshots() -> Iterator[tuple[str, Bytes]]:
    """Chromium's pictures of :func:`pages`, in two sizes; none where there is no Chromium."""
    browser = shutil.which("chromium")
    if browser is None:
        print("no chromium: its screenshots are left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, html in pages().items():
            source, target = Path(folder, "page.html"), Path(folder, "page.png")
            source.write_text(f"<!doctype html><meta charset=utf-8>{html}", encoding="utf-8")
            for width, height in ((640, 480), (1200, 800)):
                command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                           f"--user-data-dir={folder}/profile", f"--screenshot={target}",
                           f"--window-size={width},{height}", source.as_uri()]  # fmt: skip
                subprocess.run(command, check=True, capture_output=True, timeout=120)
                with Image.open(target) as shot:
                    yield f"{name} {width}", np.asarray(shot.convert("RGB"))


def typeset() -> Iterator[tuple[str, Bytes]]:
    """Pages in DejaVu, black on white."""
    for face in ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Bold"):
        for size in (9, 14, 22):
            image = Image.new("RGB", (620, 440), "white")
            font = ImageFont.truetype(str(FONTS / f"{face}.ttf"), size)
            text, draw = PROSE * 20, ImageDraw.Draw(image)
            length = int(600 / draw.textlength("e", font=font))
            for line, y in enumerate(range(8, 440, int(size * 1.4))):
                draw.text((12, y), text[line * length : (line + 1) * length], fill="black", font=font)
            yield f"{face} {size}", np.asarray(image)


def scans(noise: float) -> Iterator[tuple[str, Bytes]]:
    """The same turned, soft, on yellowish paper, with `noise` levels of a scanner's."""
    for number, (name, page) in enumerate(typeset()):
        random = np.random.default_rng([number, round(10 * noise)])
        turned = Image.fromarray(page).rotate(0.7 - number % 3, Image.Resampling.BICUBIC, fillcolor="white")
        soft = np.asarray(turned.filter(ImageFilter.GaussianBlur(0.6)), float)
        paper = 30 + soft * np.array([208, 202, 186]) / 255 + random.normal(0, noise, soft.shape)
        yield name, np.clip(np.rint(paper), 0, 255).astype(np.uint8)


def prints(data: Path) -> Iterator[tuple[str, Bytes]]:
    """Photographs of Set14 engraved, dithered, and printed in dots of one ink and of four."""
    for path in sorted((data / "set14").iterdir())[:10]:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        grey = np.asarray(image.convert("L"), float) / 255
        y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
        lines = np.sin((y + 3 * np.cos(x / 30)) * 2 * np.pi / 6) * 0.5 + 0.5
        yield f"{path.stem} engraved", _grey(lines <= grey)
        yield f"{path.stem} dithered", np.asarray(image.convert("L").convert("1").convert("RGB"))
        yield f"{path.stem} palette", np.asarray(image.quantize(8, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"))
        yield f"{path.stem} dots", _grey(_screen(x, y, 45, 5) < grey)
        inks = [1 - np.asarray(image, float)[..., k] / 255 for k in range(3)]
        dots = [_screen(x, y, turn, 6) >= ink for turn, ink in zip((15, 75, 0), inks, strict=True)]
        yield f"{path.stem} colour dots", np.stack(dots, -1).astype(np.uint8) * 255


def _screen(x: Any, y: Any, degrees: float, period: float) -> Any:
    turn = np.deg2rad(degrees)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    return (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 4 + 0.5


def _grey(light: NDArray[np.bool_]) -> Bytes:
    return np.repeat(light[..., None].astype(np.uint8) * 255, 3, axis=2)


def icons() -> Iterator[tuple[str, Bytes]]:
    """The desktop's icons on white; none where there is no such desktop."""
    for path in sorted(ICONS.glob("512x512/*/*.png"))[:60:2]:
        with Image.open(path) as opened:
            drawn = opened.convert("RGBA")
        ground = Image.new("RGBA", drawn.size, "white")
        ground.alpha_composite(drawn)
        yield path.stem, np.asarray(ground.convert("RGB"))
