"""What a package that adds a stage needs: this module tree and the entry point in pyproject.toml."""
