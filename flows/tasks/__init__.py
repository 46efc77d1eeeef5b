"""What runs as a Prefect task, and what a task is given."""
