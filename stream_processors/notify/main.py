"""`fleetpulse notify`: tell receivers of alerts; `fleetpulse notify check [FILE]` checks their configuration."""

import argparse
import logging
import threading
from pathlib import Path

from fleetpulse import logs, settings
from fleetpulse.clock import SystemClock
from fleetpulse.logs import log_fields
from fleetpulse.notify.config import Config
from fleetpulse.notify.load import load, shipped
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.selfserver import own_metrics
from fleetpulse.settings import ApiSettings, KafkaSettings, LogSettings, NotifySettings, SelfSettings
from fleetpulse.topics import Topic
from stream_processors.notify.channels import Channels
from stream_processors.notify.check import check, unreachable
from stream_processors.notify.flow import Flow
from stream_processors.notify.guard import Guard
from stream_processors.notify.stream import attach
from stream_processors.worker import Worker

PROCESS = "notify"

log = logging.getLogger(__name__)


def main(argv: list[str]) -> int:
    """Notify until SIGTERM or SIGINT, or check a configuration."""
    parser = argparse.ArgumentParser(prog="fleetpulse notify", description=__doc__, allow_abbrev=False)
    parser.add_argument("action", nargs="?", choices=["check"], help="check a configuration instead")
    parser.add_argument("file", nargs="?", type=Path, help="the file to check; default: the one of the settings")
    arguments = parser.parse_args(argv)
    options = settings.load(NotifySettings)
    path = arguments.file or (Path(options.config) if options.config else shipped())
    if arguments.action == "check":
        return check(path, Guard(options.allow))
    return run(options, load(path), path)


def run(options: NotifySettings, config: Config, path: Path) -> int:
    """The notifier; `path` is the configuration's."""
    logging_, kafka, own = settings.load(LogSettings), settings.load(KafkaSettings), settings.load(SelfSettings)
    logs.set_up(PROCESS, logging_.level, logging_.format)
    for note in config.notes:
        log.warning(note)
    if not config.integrations:
        log.warning("nobody is told: no receiver has an integration; alerts stay on the page")
    log.info("receivers", extra=log_fields(integrations=",".join(item.name for item in config.integrations) or "none"))
    metrics, clock, guard = SelfMetrics(), SystemClock(), Guard(options.allow)
    threading.Thread(target=warn_unreachable, args=(config, path, guard), name="receivers", daemon=True).start()
    channels = Channels(guard, options.allow, external_url(options), options.hmac_secret, clock)
    worker = Worker(PROCESS, kafka, Topic.NOTIFY_STATE, metrics, read_committed=True)
    flow = Flow(kafka, config, channels, metrics, clock)
    attach(worker, flow)
    with own_metrics(PROCESS, metrics, lambda: flow.not_ready, own, kafka=kafka):
        return worker.run(flow.drain)


def warn_unreachable(config: Config, path: Path, guard: Guard) -> None:
    """Say which receivers nothing can be sent to as things are; each is tried all the same when there is news."""
    for integration in config.integrations:
        problem = unreachable(integration, path, guard)
        if problem is not None:
            log.warning("a receiver cannot be reached now", extra=log_fields(cause=problem))


def external_url(options: NotifySettings) -> str:
    """The address that notifications name."""
    if options.external_url:
        return options.external_url
    api = settings.load(ApiSettings)
    return f"http://{api.listen}:{api.port}"
