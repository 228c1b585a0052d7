"""At the start of the API: the rule files of the settings, or those shipped, are taken into the database."""

import logging

from api.errors import InvalidRulesError
from api.rule_book import FileText, RuleBook
from fleetpulse import __version__
from fleetpulse.errors import SettingsError
from fleetpulse.logs import log_fields
from fleetpulse.rules.load import PACKS, rule_file, shipped_packs
from fleetpulse.settings import RulesSettings, load

SHIPPED = "shipped"  # the folder that the shipped packs have in the database, wherever they are installed

log = logging.getLogger(__name__)


def bootstrap(book: RuleBook) -> None:
    """Take them in as far as nobody has decided otherwise. Raises SettingsError for a file that cannot be used."""
    named = [part.strip() for part in load(RulesSettings).files.split(",") if part.strip()]
    shipped = [(path, f"{SHIPPED}/{path.name}") for path in shipped_packs()]
    paths = [(rule_file(name), f"{SHIPPED}/{name}.yaml" if name in PACKS else name) for name in named] or shipped
    try:
        files = [FileText(shown, path.read_text(encoding="utf-8")) for path, shown in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"FLEETPULSE_RULES_FILES: a rule file cannot be read: {error}") from error
    try:
        steps = book.bootstrap(files, f"fleetpulse {__version__}")
    except InvalidRulesError as error:
        raise SettingsError(f"FLEETPULSE_RULES_FILES: {error}") from error
    changed = [step for step in steps if step.action != "unchanged"]
    if changed:
        log.info("rule files taken in", extra=log_fields(groups=len(changed), files=",".join(f.path for f in files)))
