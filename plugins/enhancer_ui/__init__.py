"""The page in the Airflow UI: runs, their pictures, what was done, how good it is, and what a person decides on it.

:mod:`enhancer_ui.plugin` is what Airflow loads; everything else is imported when the page is first asked for.
"""
