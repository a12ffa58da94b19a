"""What runs in the worker process: ``python -m enhancer.batch.worker``."""
