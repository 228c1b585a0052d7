"""The benchmarks behind every performance claim: ``python -m bench NAME`` (docs/benchmarks.md)."""
