"""`fleetpulse api`: serve the HTTP API and the page."""

import argparse
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from api.alert_states import AlertStates
from api.app import create_app
from api.backlog import Backlog
from api.deps import Context
from api.fleet import Fleet
from api.readiness import BOUND_SECONDS, Readiness
from api.rule_book import RuleBook
from api.rule_bootstrap import bootstrap
from api.rule_health import RuleWatch
from api.rule_warnings import RuleWarnings
from api.silence_book import SilenceBook
from api.store import rules, silences
from api.store.engine import Database
from api.store.publisher import OutboxPublisher
from fleetpulse import logs
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import SettingsError
from fleetpulse.logs import log_fields
from fleetpulse.notify.config import Config
from fleetpulse.notify.load import load as load_config
from fleetpulse.notify.load import shipped
from fleetpulse.rules.conduct import conduct_of
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import (
    ApiSettings,
    ClickHouseSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    NotifySettings,
    RulesSettings,
    SelfSettings,
    load,
)
from fleetpulse.storage.pool import ClientPool
from fleetpulse.storage.reader import Reader
from fleetpulse.topics import Topic

DRAIN_SECONDS = 5
_BACKLOG_OF_CONNECTIONS = 512

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; requests under way have `DRAIN_SECONDS` to end."""
    parser = argparse.ArgumentParser(prog="fleetpulse api", description=__doc__, allow_abbrev=False)
    parser.parse_args(argv)
    log_settings = load(LogSettings)
    logs.set_up("api", log_settings.level, log_settings.format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # it tells in six lines what we say in one
    settings, kafka = load(ApiSettings), load(KafkaSettings)
    metrics = SelfMetrics()
    url = settings.clickhouse_url or load(ClickHouseSettings).url
    with make_context(settings, kafka, url, metrics, SystemClock()) as context:
        listener = _listen(settings)
        server = _Server(
            uvicorn.Config(
                create_app(context),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        with own_metrics("api", metrics, context.readiness.cause, load(SelfSettings), kafka):
            log.info("serving", extra=log_fields(url=f"http://{settings.listen}:{listener.getsockname()[1]}/"))
            server.run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """Ends with exit code 0 on a signal; uvicorn's own raises the signal again when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def make_context(
    settings: ApiSettings, kafka: KafkaSettings, url: str, metrics: SelfMetrics, clock: Clock
) -> Iterator[Context]:
    """The parts behind the routes; `url` is ClickHouse's."""
    database = Database(settings.database_url)
    outbox = OutboxPublisher(database, kafka, metrics, clock)
    book = RuleBook(database, clock, load(IngestSettings).raw_retention_days)
    outbox.keep(Topic.RULES, lambda connection: rules.records(connection, clock.now_ms()), book.adopt)
    quiet = SilenceBook(database, clock)
    outbox.keep(Topic.SILENCES, silences.records, quiet.adopt)
    pool = ClientPool(url)
    # A pool of its own: readiness must not wait behind the pages' queries.
    ping_pool = ClientPool(url, size=1, answer_timeout_seconds=BOUND_SECONDS)
    watch_pool = ClientPool(url, size=1, answer_timeout_seconds=BOUND_SECONDS)
    readiness = Readiness(Reader(ping_pool).ping, Backlog(kafka), settings.ready_max_age_seconds, clock)
    try:
        bootstrap(book)
        with outbox, AlertStates(kafka) as alerts:
            reader = Reader(pool)
            fleet = Fleet(reader, settings, clock)
            told, conduct = notify_config(), conduct_of(load(RulesSettings))
            warnings = RuleWarnings(reader)
            most = settings.max_body_bytes
            watch = RuleWatch(watch_pool, clock)
            yield Context(
                fleet, readiness, metrics, database, book, alerts, warnings, watch, quiet, told, most, conduct
            )
    finally:
        readiness.close()
        pool.close()
        ping_pool.close()
        watch_pool.close()
        database.close()


def notify_config() -> Config:
    """Who is told of alerts; raises SettingsError with all that is wrong in the file."""
    path = load(NotifySettings).config
    return load_config(Path(path) if path else shipped())


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen, settings.port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"the API cannot listen at {settings.listen}:{settings.port}: {error.strerror or error}; "
            "set FLEETPULSE_API_LISTEN and FLEETPULSE_API_PORT"
        ) from error
    listener.listen(_BACKLOG_OF_CONNECTIONS)
    return listener
