"""What the worker's settings say about all rules alike. Plain Prometheus' conduct is `Conduct()`."""

from dataclasses import dataclass

from fleetpulse.rules.flapping import Flapping
from fleetpulse.settings import RulesSettings

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Conduct:
    """`flapping` None: it is not looked for. `forget_after_ms`: a host that is silent for so long is forgotten, and its
    alerts end; None: never. `page_url`: where the page is that events link to; empty: no links."""

    flapping: Flapping | None = None
    forget_after_ms: int | None = None
    page_url: str = ""


def conduct_of(rules: RulesSettings) -> Conduct:
    """The conduct that the settings ask for."""
    return Conduct(
        flapping=Flapping() if rules.flapping else None,
        forget_after_ms=int(rules.forget_hosts_days * DAY_MS) if rules.forget_hosts_days > 0 else None,
        page_url=rules.page_url.rstrip("/"),
    )
