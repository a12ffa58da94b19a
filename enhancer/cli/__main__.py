"""``python -m enhancer.cli`` is ``enhancer``."""

from enhancer.cli import main

main()
