"""The HTTP service: the same jobs as command line and DAGs, for whoever speaks HTTP.

Nothing here loads a net or decodes a picture: jobs are runs of :mod:`enhancer.batch`, whose worker processes are
supervised as ever, and ``/v1/enhance`` hands its one picture to a warm worker process (:mod:`enhancer.service.pool`).
"""
