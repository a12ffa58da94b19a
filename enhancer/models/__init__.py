"""The nets: what there is (catalogue), where the weights come from (store), and how a file becomes a module (loading).

Importing this package, :mod:`enhancer.models.catalogue` or :mod:`enhancer.models.store` loads neither torch nor NumPy.
"""
