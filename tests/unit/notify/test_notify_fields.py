"""The table of fields in docs/notify.md says what the reader of the configuration does with each, and all of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetpulse.errors import SettingsError
from fleetpulse.notify import http_fields, interval_fields, receivers, routes
from fleetpulse.notify import load as files
from fleetpulse.notify.load import load_text

PAGE = Path(__file__).parents[3] / "docs" / "notify.md"
END = "route: {receiver: page}\nreceivers: [{name: page}]\n"
HOOK = "route: {receiver: page}\nreceivers: [{name: page, webhook_configs: [{url: 'http://a.example', %s}]}]\n"
# Where each place is in a file, with one field of it.
FILES = {
    "the file": f"%s\n{END}",
    "`global`": f"global: {{%s}}\n{END}",
    "a route": "route: {receiver: page, routes: [{%s}]}\nreceivers: [{name: page}]\n",
    "an inhibit rule": f"inhibit_rules: [{{%s}}]\n{END}",
    "a time interval": f"time_intervals: [{{name: night, time_intervals: [{{%s}}]}}]\n{END}",
    "a receiver": "route: {receiver: page}\nreceivers: [{%s}]\n",
    "`webhook_configs`": "route: {receiver: page}\nreceivers: [{name: page, webhook_configs: [{%s}]}]\n",
    "`email_configs`": "route: {receiver: page}\nreceivers: [{name: page, email_configs: [{%s}]}]\n",
    "`alertmanager_configs`": "route: {receiver: page}\nreceivers: [{name: page, alertmanager_configs: [{%s}]}]\n",
    "`apprise_configs`": "route: {receiver: page}\nreceivers: [{name: page, apprise_configs: [{%s}]}]\n",
    "`http_config`": HOOK % "http_config: {%s}",
    "`tls_config`": HOOK % "http_config: {tls_config: {%s}}",
}
KNOWN = {
    "the file": files.ROOT,
    "`global`": (*receivers.GLOBAL_MAIL, *receivers.GLOBAL_WITHOUT_EFFECT, *receivers.GLOBAL_UNSUPPORTED),
    "a route": routes.ROUTE_FIELDS,
    "an inhibit rule": files.INHIBIT_FIELDS,
    "a time interval": interval_fields.INTERVAL_FIELDS,
    "a receiver": (
        "name", "webhook_configs", "email_configs", "alertmanager_configs", "apprise_configs",
        *receivers.UNSUPPORTED_KINDS,
    ),
    "`webhook_configs`": receivers.WEBHOOK,
    "`email_configs`": (*receivers.EMAIL, *receivers.EMAIL_UNSUPPORTED),
    "`alertmanager_configs`": receivers.FORWARD,
    "`apprise_configs`": receivers.APPRISE,
    "`http_config`": (*http_fields.HTTP, *http_fields.HTTP_UNSUPPORTED),
    "`tls_config`": (*http_fields.TLS, *http_fields.TLS_UNSUPPORTED),
}  # fmt: skip


def rows() -> Iterator[tuple[str, list[str], list[str], list[str]]]:
    """(place, fields read, without effect, refused)."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition("| place | read |")
    for line in table.partition("\n\n")[0].splitlines()[2:]:
        place, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        read, noted, refused = (re.findall("`([^`]+)`", cell) for cell in cells)
        yield place, read, noted, refused


def said(place: str, field: str) -> str:
    """What is complained about in a file with that field, whose value is of no use."""
    text = FILES[place] % f"{field}: {'[x]' if field == 'templates' else 'x'}"
    try:
        return "\n".join(load_text("notify.yaml", text, PAGE.parent).notes)
    except SettingsError as error:
        return str(error)


def test_every_field_is_in_the_table_once() -> None:
    told = {place: sorted([*read, *noted, *refused]) for place, read, noted, refused in rows()}
    assert told == {place: sorted(fields) for place, fields in KNOWN.items()}


@pytest.mark.parametrize("place", FILES)
def test_each_is_read_or_refused_as_told(place: str) -> None:
    (told,) = (columns for at, *columns in rows() if at == place)
    read, noted, refused = told
    for field in read:
        assert not re.search("unknown field|is not supported|no effect", said(place, field)), field
    for field in noted:
        assert re.search("no effect|not supported", said(place, field)), field
    for field in refused:
        complaint = said(place, field)
        assert f"'{field}'" in complaint, complaint
        assert "is not supported" in complaint, complaint
    assert "unknown field 'colour'" in said(place, "colour")


def test_the_example_of_the_page_is_good(tmp_path: Path) -> None:
    (example,) = re.findall("```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    for name in ("webhook.secret", "slack.url"):
        (tmp_path / name).write_text("slack://T/B/C" if name == "slack.url" else "s3cret")
    config = load_text("notify.yaml", f"route: {{receiver: oncall}}\n{example}", tmp_path)
    assert [integration.receiver for integration in config.integrations] == ["oncall"] * 3
    assert config.notes == ()
