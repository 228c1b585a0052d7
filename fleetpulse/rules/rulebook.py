"""The rules in force, gathered record by record from `fleetpulse.rules`; pure."""

from fleetpulse.errors import FrameError
from fleetpulse.rules.load import read_text, twins
from fleetpulse.rules.model import RuleGroup, RuleSet
from fleetpulse.rules.published import Authority, PublishedGroup, decode


class Rulebook:
    """The groups of the topic. A record that does not load is refused, and the group goes on as it was."""

    def __init__(self) -> None:
        self.authority: str | None = None  # the database that the topic follows; None: the settings' files apply
        self.refused: dict[str, str] = {}  # group → why its newest record is not in force
        self._groups: dict[str, RuleGroup] = {}
        self._versions: dict[str, int] = {}

    def take(self, key: str, value: bytes | None) -> None:
        """Take one record, in the order of the topic."""
        self.refused.pop(key, None)
        if value is None:
            self._groups.pop(key, None)
            self._versions.pop(key, None)
            return
        try:
            record = decode(key, value)
        except FrameError as error:
            self.refused[key] = str(error)
            return
        if isinstance(record, Authority):
            self.authority = record.store
        else:
            self._load(record)

    def rule_set(self) -> RuleSet:
        """The groups that load, by name. Of two rules that cannot be told apart the second one's group is refused."""
        groups: list[RuleGroup] = []
        for name in sorted(self._groups):
            clashes = twins(RuleSet((*groups, self._groups[name])))
            if clashes:
                self.refused[name] = str(clashes[0])
            else:
                groups.append(self._groups[name])
        return RuleSet(tuple(groups))

    @property
    def versions(self) -> dict[str, int]:
        """The version of each group that is in force."""
        return dict(self._versions)

    def _load(self, record: PublishedGroup) -> None:
        groups, errors = read_text(record.place, record.text)
        if errors:
            self.refused[record.name] = "; ".join(map(str, errors))
        elif [group.name for group in groups] != [record.name]:
            names = ", ".join(repr(group.name) for group in groups) or "none"
            self.refused[record.name] = f"its text must have the group {record.name!r} alone, and has {names}"
        else:
            self._groups[record.name], self._versions[record.name] = groups[0], record.version
