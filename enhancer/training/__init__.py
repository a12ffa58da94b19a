"""Training of the nets that this package carries: one entry per net, one configuration file each, CPU or GPU."""
