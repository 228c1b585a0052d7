"""What the supervisor runs: one service and what is known of its running child."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from infra.embedded.child import Child, Command

READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the plan. Services of one ``stage`` start together, once the stage before is ready."""

    name: str
    stage: int
    prepare: Callable[[], Command]
    not_ready: Callable[[], str | None]
    # Order of the stop (lowest first), and until when after its begin SIGTERM has time, in seconds.
    stop_order: int
    stop_until: float
    address: str = ""
    self_url: str = ""  # where /metrics and /health are
    once: bool = False  # a command that must end with 0
    awaited: bool = True  # False: the start goes on before it is ready


class State(StrEnum):
    """Where a service is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    CRASHED = "crashed"
    DONE = "done"
    STOPPED = "stopped"


@dataclass(slots=True)
class Running:
    """A service and its child."""

    service: Service
    state: State = State.WAITING
    child: Child | None = None
    restarts: int = 0
    failures: int = 0  # crashes since it last ran for a while: sets the back-off
    start_again_at: float = 0.0
    ready_after: float = 0.0
    last_exit: str = ""

    @property
    def pid(self) -> int | None:
        """The pid while the child runs."""
        return self.child.pid if self.child is not None and self.child.exit_code() is None else None
