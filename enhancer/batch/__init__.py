"""The nightly job: plan -> (enhance -> evaluate -> publish) per shard -> report. Airflow's tasks and the CLI call the
same functions; nothing here imports a net, which only the worker process does.
"""
