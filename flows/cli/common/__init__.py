"""What several commands have in common: options, output, files of rows, errors, interruptions, and Prefect's server."""
