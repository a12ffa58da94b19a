"""Write the figures of docs/ anew from benchmarks/results: ``python -m benchmarks.summary``."""

from __future__ import annotations

from benchmarks.common.pages import refresh_pages

if __name__ == "__main__":
    refresh_pages()
