"""``python -m tests.faults``: the whole matrix, or the faults named; writes docs/faults.md. Exit 1 unless all pass."""

import sys

from tests.faults.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
