"""A process's own metrics and health: served on 127.0.0.1, and published to `fleetpulse.metrics`.

Served, so that they can be seen while Kafka is down: ``/metrics`` (Prometheus text format), ``/health/live``
(200 while the process runs) and ``/health/ready`` (200, or 503 with the cause).
"""

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil

from fleetpulse import __version__, settings
from fleetpulse.clock import Clock, SystemClock
from fleetpulse.errors import SettingsError
from fleetpulse.logs import log_fields
from fleetpulse.publish.publisher import Publisher
from fleetpulse.selfmetrics import SelfMetrics
from fleetpulse.settings import KafkaSettings, PublishSettings, SelfSettings
from fleetpulse.wire import Block, join_keys, make_block

LISTEN = "127.0.0.1"
OWN_BUFFER_BYTES = 1024 * 1024

Ready = Callable[[], str | None]

log = logging.getLogger(__name__)


@contextmanager
def own_metrics(
    process: str,
    metrics: SelfMetrics,
    ready: Ready,
    self_settings: SelfSettings,
    kafka: KafkaSettings | None = None,
    publisher: Publisher | None = None,
    clock: Clock | None = None,
) -> Iterator[int]:
    """Serve and publish until the block ends; yields the port.

    `ready` returns None, or the cause why this process is not ready. Publishes through `publisher`, or through
    one of its own when there is none. `process` is the last part of the label `instance`.
    Raises SettingsError when the port is in use.
    """
    resources = _Resources(metrics)
    server = _serve(metrics, ready, resources, self_settings.port)
    port: int = server.server_address[1]
    log.info("own metrics", extra=log_fields(url=f"http://{LISTEN}:{port}/metrics"))
    own = None
    if self_settings.interval_seconds > 0 and publisher is None:
        budget = PublishSettings(buffer_bytes=OWN_BUFFER_BYTES)
        publisher = own = Publisher(kafka or settings.load(KafkaSettings), budget, metrics)
    stop = threading.Event()
    thread = None
    if self_settings.interval_seconds > 0 and publisher is not None:
        arguments = (process, metrics, resources, publisher, self_settings.interval_seconds, clock or SystemClock())
        thread = threading.Thread(target=_publish, args=(*arguments, stop), name="own-metrics", daemon=True)
        thread.start()
    try:
        yield port
    finally:
        stop.set()
        if thread is not None:
            thread.join(1.0)  # nothing goes to the publisher after this, which its owner closes next
        server.shutdown()
        server.server_close()
        if own is not None:
            own.close(1.0)


def own_block(process: str, metrics: SelfMetrics, ts_ms: int) -> Block:
    """The own metrics as one block of this machine's host."""
    host = socket.gethostname()
    common = {"host": host, "instance": f"{host}/{process}", "job": "fleetpulse"}
    samples = metrics.samples()
    return make_block(host, common, join_keys(key for key, _ in samples), ts_ms, [value for _, value in samples])


class _Resources:
    """This process's CPU and memory, read when somebody looks."""

    def __init__(self, metrics: SelfMetrics) -> None:
        self._metrics = metrics
        self._process = psutil.Process()
        metrics.set("fleetpulse_build_info", 1.0, version=__version__)
        metrics.set("fleetpulse_process_start_time_seconds", self._process.create_time())

    def update(self) -> None:
        times = self._process.cpu_times()
        self._metrics.set("fleetpulse_process_cpu_seconds_total", times.user + times.system)
        self._metrics.set("fleetpulse_process_resident_memory_bytes", self._process.memory_info().rss)


def _publish(
    process: str,
    metrics: SelfMetrics,
    resources: _Resources,
    publisher: Publisher,
    interval_seconds: float,
    clock: Clock,
    stop: threading.Event,
) -> None:
    interval_ms = max(1, int(interval_seconds * 1000))
    while True:
        now_ms = clock.now_ms()
        tick_ms = now_ms - now_ms % interval_ms + interval_ms
        if stop.wait((tick_ms - now_ms) / 1000):
            return
        resources.update()
        try:
            publisher.send([own_block(process, metrics, tick_ms)])
        except SettingsError as error:
            log.error("own metrics are not published", extra=log_fields(cause=str(error)))
            return


def _serve(metrics: SelfMetrics, ready: Ready, resources: _Resources, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                resources.update()
                self._answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics.exposition())
            elif self.path == "/health/live":
                self._answer(200, "application/json", json.dumps({"live": True}))
            elif self.path == "/health/ready":
                cause = ready()
                body = {"ready": cause is None} | ({"cause": cause} if cause else {})
                self._answer(503 if cause else 200, "application/json", json.dumps(body))
            else:
                self._answer(404, "text/plain; charset=utf-8", "see /metrics, /health/live and /health/ready\n")

        def _answer(self, status: int, content_type: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass  # the process's log is not an access log

    try:
        server = ThreadingHTTPServer((LISTEN, port), Handler)
    except OSError as error:
        raise SettingsError(f"FLEETPULSE_SELF_PORT {port} on {LISTEN} cannot be used: {error.strerror}") from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.5,), name="self-server", daemon=True).start()
    return server
