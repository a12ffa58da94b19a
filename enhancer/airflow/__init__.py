"""What only Airflow needs: the DAGs' tasks, Connections, retry policy, notices, metrics, its database manager."""
