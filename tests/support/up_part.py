"""`fleetpulse up` with the named services only: ``python up_part.py clickhouse,migrate --data-dir …``.

A test of the supervisor starts in a second with ClickHouse alone; everything else is the real `up`.
"""

import sys

from fleetpulse.errors import FleetpulseError
from infra.embedded import plan, up
from infra.embedded.service import Service

_every_service = plan.Plan.services


def main() -> int:
    """Run `up` with the services named in the first argument, as the command line would."""
    names = sys.argv[1].split(",")

    def some(self: plan.Plan) -> list[Service]:
        return [service for service in _every_service(self) if service.name in names]

    plan.Plan.services = some  # type: ignore[method-assign]
    try:
        return up.main(sys.argv[2:])
    except FleetpulseError as error:
        print(f"fleetpulse up: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
