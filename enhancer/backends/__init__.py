"""How a net runs: the backend protocol, torch behind it, and the tiler that bounds memory. Loads no torch."""
