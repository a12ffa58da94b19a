"""How a net runs: the backend protocol and its implementations, and the tiler that bounds memory. Loads no torch."""
