"""Debian's Alertmanager as a child of a test, and what its webhooks and ours must say alike."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.embedded.ports import free_port
from tests.support.eventually import eventually


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    file, port = folder / "alertmanager.yaml", free_port()
    file.write_text(config)
    command = [
        shutil.which("prometheus-alertmanager") or "prometheus-alertmanager",
        f"--config.file={file}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.path={folder / 'data'}",
        "--cluster.listen-address=",
    ]
    url = f"http://127.0.0.1:{port}"
    with (folder / "alertmanager.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: asked(f"{url}/-/ready", text=True), 30)
            yield url
        finally:
            process.terminate()


def asked(url: str, text: bool = False) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode() if text else json.load(answer)
    except OSError as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise AssertionError(f"{url}: {error}") from error


def compared(body: dict[str, Any]) -> dict[str, Any]:
    """What both must say alike; fingerprints are of another hash, and ours adds fields."""
    alerts = [
        {name: alert[name] for name in ("status", "labels", "annotations")}
        for alert in sorted(body["alerts"], key=lambda alert: str(alert["labels"]))
    ]
    names = ("version", "status", "receiver", "groupKey", "groupLabels", "commonLabels", "commonAnnotations")
    return {name: body[name] for name in (*names, "truncatedAlerts")} | {"alerts": alerts}
