"""``python -m demo.desktop``: the desktop application on the demo's pictures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from demo.pictures import samples

FOLDER = Path("demo-output/desktop")


def main() -> int:
    """Write the pictures and their truths, and open the window on them."""
    for sample in samples():
        for place, data in ((FOLDER / "pictures", sample.data), (FOLDER / "truth", sample.truth)):
            if data is not None:
                file = place / sample.key
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
    print(f"Pictures are in {FOLDER / 'pictures'}, truths for scores in {FOLDER / 'truth'}.")
    return subprocess.run(
        [sys.executable, "-m", "enhancer.cli", "desktop", str(FOLDER / "pictures")], check=False
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
