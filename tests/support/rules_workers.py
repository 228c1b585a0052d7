"""A rules worker with rules of a test's own."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from fleetpulse.settings import PREFIX, KafkaSettings
from tests.support.running import Running, running
from tests.support.topics import kafka_env

NO_CLICKHOUSE = "clickhouse://127.0.0.1:1/x"


@contextmanager
def rules_worker(
    kafka: KafkaSettings,
    folder: Path,
    rules: str,
    log_name: str = "",
    env: Mapping[str, str] = MappingProxyType({}),
    **settings: str,
) -> Iterator[Running]:
    """One without ClickHouse.

    `settings` are more of them, by their names without the prefix; `env` is what is no setting.
    """
    folder.mkdir(exist_ok=True)
    file = folder / "rules.yaml"
    file.write_text(rules)
    own = {"RULES_FILES": str(file), "CLICKHOUSE_URL": NO_CLICKHOUSE, **settings}
    env = {**kafka_env(kafka), **{PREFIX + name: value for name, value in own.items()}, **env}
    with running("rules", env, folder, log_name=log_name) as worker:
        yield worker
