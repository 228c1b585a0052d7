"""ClickHouse in a container: the embedded server's users, rights and limits, with passwords from the environment."""
