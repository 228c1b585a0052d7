"""Rules over stored history: *explain* one host at one time, *back-test* a rule over weeks. Read from ClickHouse."""
