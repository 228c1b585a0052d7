"""docs/alerts.schema.json and docs/asyncapi.yaml say what events.py and topics.py do."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from fleetpulse import alert_schema
from fleetpulse.events import decode_event
from fleetpulse.topics import Topic

ROOT = Path(__file__).parents[3]
ASYNCAPI: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "asyncapi.yaml").read_text())
VALIDATOR = Draft202012Validator(alert_schema.schema(), format_checker=FormatChecker())
[EXAMPLE] = [one["payload"] for one in ASYNCAPI["components"]["messages"]["alert"]["examples"]]


def test_the_schema_is_that_of_the_events() -> None:
    Draft202012Validator.check_schema(alert_schema.schema())
    stale = "stale: run `python -m fleetpulse.alert_schema`"
    assert (ROOT / alert_schema.FILE).read_text() == alert_schema.text(), stale


def test_every_field_is_described() -> None:
    for struct in alert_schema.schema()["$defs"].values():
        bare = [
            name
            for name, field in struct["properties"].items()
            if not field.keys() & {"description", "const", "enum", "default", "format", "$ref"}
        ]
        assert not bare or bare == ["series"], f"{struct['title']}: describe {bare} in fleetpulse/alert_schema.py"


def test_the_example_is_an_event() -> None:
    VALIDATOR.validate(EXAMPLE)
    assert decode_event(json.dumps(EXAMPLE).encode()).data.previous_severity == "warning"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("type",), "another.type"),
        (("id",), "no-episode"),
        (("time",), "yesterday"),
        (("data", "status"), "pending"),
        (("data", "labels"), {"severity": "critical"}),
        (("data", "labels"), {"alertname": 1}),
        (("data", "transition"), 0),
        (("data", "value"), 0.98),
        (("data", "fingerprint"), "F" * 16),
    ],
)
def test_what_is_wrong_is_refused(place: tuple[str, ...], value: object) -> None:
    event = json.loads(json.dumps(EXAMPLE))
    *outer, last = place
    inner = event[outer[0]] if outer else event
    inner[last] = value
    with pytest.raises(ValidationError):
        VALIDATOR.validate(event)


def test_more_fields_are_no_error() -> None:
    VALIDATOR.validate(EXAMPLE | {"traceparent": "00-1", "data": EXAMPLE["data"] | {"added": {"later": 1}}})


def test_the_channel_is_the_topic() -> None:
    channel, spec = ASYNCAPI["channels"]["alerts"], Topic.ALERTS.value
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert channel["address"] == channel["bindings"]["kafka"]["topic"] == Topic.ALERTS.named("fleetpulse")
    assert channel["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == spec.retention_ms
    assert "fingerprint" in spec.key
    assert "fingerprint" in ASYNCAPI["components"]["messages"]["alert"]["bindings"]["kafka"]["key"]["description"]


def test_every_reference_leads_somewhere() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [one for value in node.values() for one in references(value)]
        return [one for value in node for one in references(value)] if isinstance(node, list) else []

    found = references(ASYNCAPI)
    assert len(found) >= 5
    for reference in found:
        if reference.startswith("#/"):
            node = ASYNCAPI
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (ROOT / "docs" / reference).is_file()
    assert msgspec.json.decode((ROOT / "docs" / "alerts.schema.json").read_bytes())["$ref"] == "#/$defs/AlertEvent"
