"""What `make` runs on a bare Python: checks, installation, locks and the wheel. Standard library only.

Not part of the wheel. `python -m infra.setup` in the clone's root; the Makefile picks the Python.
"""
