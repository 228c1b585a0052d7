"""The child process that is the embedded ClickHouse: ``python -P -m infra.embedded.clickhouse_server FOLDER``.

chdb-core holds the whole server. One call through a private entry point opens the real native and HTTP listeners with
the config.xml and users.xml of the working directory and never returns; chdb's version is therefore pinned.
"""

import os
import signal
import sys
import threading

_STATEMENTS = (
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
    "SELECT count() FROM system.numbers WHERE NOT ignore(sleepEachRow(1)) "
    "SETTINGS max_block_size = 1, max_execution_time = 0"
)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before any thread of the engine starts, so that all inherit it
    folder = sys.argv[1]
    from chdb import _chdb  # before the change of folder: it looks for its library from where it is

    os.chdir(folder)
    threading.Thread(target=_serve, args=(_chdb, os.path.join(folder, "data")), daemon=True).start()
    signal.sigwait(signals)
    # What was acknowledged is in files: leaving without the engine's own shutdown is as safe as kill -9.
    os._exit(0)


def _serve(engine: object, path: str) -> None:
    try:
        result = engine.query(_STATEMENTS, "CSV", path=path)  # type: ignore[attr-defined]
        print(f"clickhouse: the listeners closed: {result}", file=sys.stderr, flush=True)
    except BaseException as error:
        print(f"clickhouse: cannot serve: {error}", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
