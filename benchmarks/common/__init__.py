"""What several benchmarks share: results and their pages, plots, nets side by side, timing."""
