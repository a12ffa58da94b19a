"""The desktop application: a window on the same core, for those who have a folder of pictures and no Airflow.

The window itself (:mod:`enhancer.desktop.window`) decodes no picture and runs no net. Both happen in child processes
(:mod:`enhancer.desktop.worker`), which :mod:`enhancer.desktop.child` holds to a deadline and a memory limit.
"""
