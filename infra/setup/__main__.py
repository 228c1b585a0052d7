"""`python -m infra.setup check|install|lock|wheel|clean`, in the clone's root."""

import sys

OLDEST, NEWEST = (3, 11), (3, 14)


def main(argv):  # type: ignore[no-untyped-def]  # any Python must be able to parse this far
    """Refuse a Python that is too old before anything else of ours is imported."""
    found = sys.version_info[:2]
    if not OLDEST <= found <= NEWEST:
        facts = OLDEST + NEWEST + (sys.executable,) + tuple(found)
        sys.stderr.write(
            "Fleetpulse needs Python {}.{} to {}.{} and {} is {}.{}: install one of those and run "
            "`make PYTHON=python3.11 ...` with its name.\n".format(*facts)
        )
        return 1
    from infra.setup import commands

    return commands.run(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))  # type: ignore[no-untyped-call]
