"""The page in the Airflow UI: runs, their pictures, what was done and how good it is. Reads the ledger, writes nothing.

:mod:`enhancer_ui.plugin` is what Airflow loads; everything else is imported when the page is first asked for.
"""
