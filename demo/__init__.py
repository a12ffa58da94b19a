"""The demo: the whole product on this machine, on real pictures, with its promises checked."""
