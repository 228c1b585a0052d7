"""The fields of a host come from metrics that the shipped rule pack records."""

from pathlib import Path

import yaml

import infra.rules
from api.fleet import SUMMARY


def test_the_shipped_pack_records_every_metric_of_the_summary() -> None:
    [folder] = infra.rules.__path__
    pack = yaml.safe_load((Path(folder) / "host.yaml").read_text())
    recorded = {rule.get("record") for group in pack["groups"] for rule in group["rules"]}

    assert {metric for metric, _ in SUMMARY.values()} <= recorded
