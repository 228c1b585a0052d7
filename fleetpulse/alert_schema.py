"""The JSON Schema of `fleetpulse.alerts`, made from `events.py`: ``python -m fleetpulse.alert_schema`` writes it.

What a struct cannot say is added here, by struct and field. Fields are only ever added, so a reader has to leave alone
what it does not know: nothing in the schema forbids more.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from fleetpulse.events import EVENT_TYPE, ZERO_TIME, AlertEvent

FILE = Path("docs/alerts.schema.json")
_HEX = "^[0-9a-f]{16}$"
_TIME = {"format": "date-time", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$"}
_VALUE = "A decimal number, `NaN`, `+Inf` or `-Inf`, as text because JSON has no such numbers."

_FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "AlertEvent": {
        "id": {
            "pattern": "^[0-9a-f]{16}/[1-9][0-9]*$",
            "description": "`<episode>/<transition>`. The same id is the same event: a reader that has it leaves it "
            "out, because a transition is published at least once.",
        },
        "source": {"description": "`/fleetpulse/rules/<name of the rule>`."},
        "subject": {"description": "The host."},
        "time": {**_TIME, "description": "When it happened, by the time of the samples."},
        "specversion": {"const": "1.0"},
        "type": {"const": EVENT_TYPE},
    },
    "AlertData": {
        "status": {"enum": ["firing", "resolved"]},
        "labels": {
            "required": ["alertname"],
            "description": "The labels of the rule and of the series, `severity` where the rule has one: after "
            "`resolved` the one it had.",
        },
        "annotations": {"description": "Texts of the rule, filled in."},
        "startsAt": {**_TIME, "description": "When the episode began; the same in all of its events."},
        "endsAt": {**_TIME, "description": f"When it ended; {ZERO_TIME} while it fires."},
        "fingerprint": {
            "pattern": _HEX,
            "description": "Of the labels without `severity`; the key of the message. The events of one fingerprint "
            "are in order.",
        },
        "generatorURL": {"description": "A page that shows the alert, or nothing."},
        "episode": {"pattern": _HEX, "description": "From firing to resolved: of rule, fingerprint and start."},
        "transition": {"minimum": 1, "description": "Numbers the events of an episode: 1, 2, 3 and so on."},
        "previousSeverity": {"description": "Before this event; null in the first of an episode."},
        "stale": {"description": "It still fires and nothing was heard since: no data is not a recovery."},
        "late": {"description": "The samples that caused it came late, or after a pause of the system."},
        "flapping": {
            "description": "It fires and resolves, or changes its severity, too often: until it has calmed down it "
            "stays firing, and only a higher severity is told."
        },
        "reason": {
            "pattern": "^[a-z]+(_[a-z]+)*$",
            "description": "Why it changed, one word; more words may be added.",
        },
        "host": {"minLength": 1, "description": "Whose samples they are."},
        "value": {"description": f"What the rule's expression gave. {_VALUE}"},
        "threshold": {"description": "The condition, as in `> 0.8`; nothing where the expression itself compares."},
        "evidence": {"description": "The samples behind the value."},
    },
    "RuleRef": {
        "name": {"minLength": 1, "description": "Its identity."},
        "hash": {"pattern": _HEX, "description": "Of its text: tells versions apart."},
    },
    "Evidence": {
        "series": {"description": "Name and labels, as Prometheus writes them."},
        "timestamp": dict(_TIME),
        "value": {"description": _VALUE},
    },
}


def schema() -> dict[str, Any]:
    """The document, in JSON Schema 2020-12."""
    found = msgspec.json.schema(AlertEvent)
    for struct, fields in _FIELDS.items():
        properties = found["$defs"][struct]["properties"]
        for name, more in fields.items():
            properties[name] |= more
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleetpulse.alerts",
        "description": "One event a transition of an alert: a CloudEvents 1.0 JSON envelope with Alertmanager's words "
        "inside. Fields are only ever added; leave alone what you do not know. Made from fleetpulse/events.py by "
        "`python -m fleetpulse.alert_schema`.",
        **found,
    }


def text() -> str:
    """The file."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(f"wrote {FILE}", file=sys.stderr)
