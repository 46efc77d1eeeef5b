"""What databases of a process keep in memory."""

from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from molbuffer.storage.backends import closed_connection


def test_what_was_read_of_local_files_is_left_to_the_system(tmp_path):
    for number in range(5):
        pq.write_table(pa.table({"value": list(range(100))}), tmp_path / f"{number}.parquet")
    with closing(closed_connection()) as connection:
        assert connection.execute(f"SELECT sum(value) FROM '{tmp_path}/*.parquet'").fetchall() == [(5 * 4950,)]
        kept = "SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory() WHERE tag = 'EXTERNAL_FILE_CACHE'"
        assert connection.execute(kept).fetchall() == [(0,)]
        # That of a server is another matter: see what a store there asks for.
        connection.execute("SET GLOBAL enable_external_file_cache = true")
        connection.execute(f"SELECT sum(value) FROM '{tmp_path}/*.parquet'").fetchall()
        assert connection.execute(kept).fetchall() > [(0,)]
