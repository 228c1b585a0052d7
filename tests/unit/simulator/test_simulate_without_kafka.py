"""`fleetpulse simulate` as a process, with no Kafka to send to."""

import signal
from pathlib import Path

from infra.embedded.ports import free_port
from tests.support.eventually import eventually
from tests.support.running import running


def test_a_signal_ends_the_wait_for_kafka_and_own_metrics_are_not_refused(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    env = {"FLEETPULSE_KAFKA_BOOTSTRAP_SERVERS": address, "FLEETPULSE_SELF_INTERVAL_SECONDS": "1"}
    arguments = ["--hosts", "2", "--interval", "1", "--duration", "1"]
    with running("simulate", env, tmp_path, arguments) as simulate:
        # Said after ten seconds: the duration is over since nine, and own metrics were due at each.
        eventually(lambda: "kafka unreachable" in simulate.log(), timeout=40.0)
        simulate.signal(signal.SIGINT)
        assert simulate.wait(within=5.0) == 1
        log = simulate.log()
    assert "`fleetpulse up` starts a Kafka" in log
    assert f"no Kafka answers at {address}" in log
    assert "frame refused" not in log
    assert "Traceback" not in log
