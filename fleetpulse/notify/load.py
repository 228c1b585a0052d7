"""Alertmanager's configuration file to a `Config`; all that is wrong is said at once, each with its line.

What Alertmanager has and we do not is an error where alerts would be lost or look different, else a note.
"""

from importlib.util import find_spec
from pathlib import Path

import yaml

from fleetpulse.errors import RuleError, SettingsError
from fleetpulse.notify.config import Config, InhibitRule
from fleetpulse.notify.fields import matchers_of, texts_of
from fleetpulse.notify.interval_fields import read_intervals
from fleetpulse.notify.intervals import Intervals
from fleetpulse.notify.masked import masked
from fleetpulse.notify.matchers import parse_matchers
from fleetpulse.notify.receivers import Mail, read_mail_defaults, read_receivers
from fleetpulse.notify.routes import read_route
from fleetpulse.rules.fields import Complaints, Fields, compose

ROOT = ("global", "templates", "route", "receivers", "inhibit_rules", "mute_time_intervals", "time_intervals")
INHIBIT_FIELDS = (
    "name",
    "source_matchers",
    "target_matchers",
    "equal",
    "source_match",
    "source_match_re",
    "target_match",
    "target_match_re",
)
# A silent host's other alerts hold their state; its silence says all there is to say.
HOST_SILENT = InhibitRule(
    parse_matchers('alertname="HostSilent"'),
    parse_matchers('alertname!="HostSilent"'),
    ("host",),
    "HostSilent mutes the other alerts of its host",
)


def shipped() -> Path:
    """The configuration that comes with Fleetpulse: no receiver is told anything."""
    spec = find_spec("infra")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("this installation has no shipped configuration: set FLEETPULSE_NOTIFY_CONFIG")
    return Path(next(iter(spec.submodule_search_locations))) / "notify" / "notify.yaml"


def load(path: Path) -> Config:
    """The configuration of a file; raises SettingsError with every complaint, one a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        cause = (error.strerror or repr(error)).lower()
        raise SettingsError(f"the notification configuration {path} cannot be read: {cause}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the notification configuration {path} cannot be read: it is not UTF-8 text") from error
    return load_text(str(path), text, path.parent)


def load_text(file: str, text: str, folder: Path) -> Config:
    """The configuration of a text; `folder`: where relative files of secrets and certificates lie."""
    complaints, notes = Complaints(file), Complaints(file)
    try:
        tree = compose(file, text)
    except RuleError as error:
        raise SettingsError(str(error)) from error
    if tree is None:
        raise SettingsError(f"{file}:1: the file is empty: it needs 'route' and 'receivers'")
    config = _config(tree, text, folder, complaints, notes)
    if complaints.errors or config is None:
        raise SettingsError("\n".join(map(str, complaints.errors)))
    return config


def _config(tree: yaml.Node, text: str, folder: Path, complaints: Complaints, notes: Complaints) -> Config | None:
    root = Fields(tree, "the file", ROOT, complaints)
    for node in root.items("templates"):
        notes.add(node, "templates are not supported: messages have Fleetpulse's own text")
    mail = _mail(root, folder, complaints, notes)
    receivers = read_receivers(root, mail, folder, complaints, notes)
    intervals: dict[str, Intervals] = {}
    for name in ("mute_time_intervals", "time_intervals"):
        intervals |= read_intervals(root, name, complaints)
    if "route" not in root:
        complaints.add(tree, "the file: field 'route' is missing: it names the receiver of all that has no other")
        return None
    route = read_route(root.node_of("route"), receivers, intervals, complaints)
    rules = [_inhibit_rule(node, complaints) for node in root.items("inhibit_rules")]
    found = tuple(rule for rule in rules if rule is not None)
    if route is None:
        return None
    return Config(
        route=route,
        receivers=receivers,
        inhibit_rules=(HOST_SILENT, *found),
        intervals=intervals,
        notes=tuple(map(str, notes.errors)),
        original=masked(text, tree),
    )


def _mail(root: Fields, folder: Path, complaints: Complaints, notes: Complaints) -> Mail:
    if "global" not in root:
        return Mail()
    return read_mail_defaults(root.node_of("global"), folder, complaints, notes)


def _inhibit_rule(node: yaml.Node, complaints: Complaints) -> InhibitRule | None:
    fields = Fields(node, "inhibit rule", INHIBIT_FIELDS, complaints)
    before = len(complaints.errors)
    source = matchers_of(fields, "source_matchers", "source_match", "source_match_re")
    target = matchers_of(fields, "target_matchers", "target_match", "target_match_re")
    equal = tuple(texts_of(fields, "equal"))
    if len(complaints.errors) > before:
        return None
    if not source or not target:
        complaints.add(node, "inhibit rule: 'source_matchers' and 'target_matchers' are both needed")
        return None
    return InhibitRule(source, target, equal, fields.text("name") or "")
