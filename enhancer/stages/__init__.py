"""One module per stage of enhancement; :mod:`enhancer.stages.base` is their contract, the pipeline orders them."""
