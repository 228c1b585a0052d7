"""ClickHouse: migrations, table names, the client, the writer and the reader."""
