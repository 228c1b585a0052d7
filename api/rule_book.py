"""What may be done with rules: checked before it is written, refused when somebody else was faster or owns them.

A group belongs to a file (`apply` alone changes it, as git has it) or to the API. Its name is its identity: there is
one group of a name, whatever its file.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sqlalchemy import Connection

from api.errors import ConflictError, InvalidRulesError, NotFoundError, PreconditionError, StaleError
from api.store import rules
from api.store.engine import Database
from api.store.rules import API, FILE, Change, Version
from fleetpulse.clock import Clock, to_rfc3339
from fleetpulse.errors import FrameError, RuleError
from fleetpulse.rules.load import clashes, read_text
from fleetpulse.rules.model import RuleGroup, RuleSet
from fleetpulse.rules.published import Authority, PublishedGroup, decode
from fleetpulse.rules.retention import too_long
from fleetpulse.rules.split import split

TEXT = "text"  # what stands for the file in complaints about a text that came without one


@dataclass(frozen=True, slots=True)
class FileText:
    """A rule file as it was sent."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """What `apply` does with one group; `before` and `after` are texts, empty where there is none."""

    name: str
    action: str  # create | update | delete | unchanged
    file: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What is right and what is wrong in some files, seen alone and beside the rules in force."""

    rules: RuleSet
    errors: list[RuleError]


class RuleBook:
    """The rules of one database; safe to use from several threads."""

    def __init__(self, database: Database, clock: Clock, raw_days: int) -> None:
        """`raw_days`: how long raw samples are kept; no window may be longer."""
        self._database, self._clock = database, clock
        self._raw_days = raw_days
        self._loaded: dict[tuple[str, int], RuleGroup] = {}

    def groups(self) -> list[tuple[Version, RuleGroup]]:
        """The groups in force, by name, with their rules."""
        with self._database.read() as connection:
            return [(version, self._group(version)) for version in rules.in_force(connection)]

    def rule_set(self) -> RuleSet:
        """The rules in force."""
        return RuleSet(tuple(group for _, group in self.groups()))

    def group(self, name: str) -> tuple[Version, RuleGroup]:
        """One group; NotFoundError names the nearest."""
        with self._database.read() as connection:
            version = _known(connection, name)
        return version, self._group(version)

    def versions(self, name: str) -> list[Version]:
        """All that a group ever was, the newest first; also of a deleted one."""
        with self._database.read() as connection:
            found = rules.versions(connection, name)
            if not found:
                _known(connection, name)
        return found

    def check(self, files: Sequence[FileText]) -> Checked:
        """What `apply` would say about these files; nothing is changed."""
        groups, errors = self._read(files)
        names = {group.name for group in groups}
        others = [group for version, group in self.groups() if version.name not in names]
        found = RuleSet((*others, *groups))
        return Checked(RuleSet(tuple(groups)), errors + clashes(found))

    def create(self, text: str, author: str) -> Version:
        """A new group of the API."""
        group = self._single(text)
        with self._database.write() as connection:
            current = rules.group(connection, group.name)
            if current is not None:
                raise ConflictError(f"{_described(current)} exists already: change it with PUT, or take another name")
            return self._save(connection, group, text, author)

    def replace(self, name: str, text: str, author: str, if_match: str | None) -> Version:
        """Another text for a group of the API, or a new group."""
        group = self._single(text)
        if group.name != name:
            raise InvalidRulesError(
                [RuleError("name", f"the path names group {name!r}: a group keeps its name", file=TEXT, field="name")]
            )
        with self._database.write() as connection:
            current = rules.group(connection, name)
            if current is None and if_match is not None:
                raise StaleError(f"there is no rule group {name!r} any more: leave If-Match out to make it anew")
            if current is not None:
                _may_change(current, if_match)
                if current.text == text:
                    return current
            return self._save(connection, group, text, author)

    def delete(self, name: str, author: str, if_match: str | None) -> Version:
        """Delete a group of the API; its versions stay."""
        with self._database.write() as connection:
            current = _known(connection, name)
            _may_change(current, if_match)
            return rules.save(connection, Change(name, API, "", None), author, self._clock.now_ms())

    def apply(
        self, files: Sequence[FileText], author: str, prune: Sequence[str] | None = None, dry_run: bool = False
    ) -> list[Step]:
        """Make the groups of these files what is in force, in one change.

        `prune`: files and folders; groups that belong to a file of them, and are in no file given, are deleted.
        """
        groups, errors = self._read(files)
        if errors:
            raise InvalidRulesError(errors)
        parts = {name: (file.path, text) for file in files for name, text in split(file.path, file.text).items()}
        with self._database.write() as connection:
            current = {version.name: version for version in rules.in_force(connection)}
            steps = _steps(parts, current, prune or ())
            gone = {step.name for step in steps if step.action == "delete"} | parts.keys()
            others = [self._group(version) for name, version in current.items() if name not in gone]
            if together := clashes(RuleSet((*others, *groups))):
                raise InvalidRulesError(together)
            if not dry_run:
                self._carry_out(connection, steps, author)
        return steps

    def bootstrap(self, files: Sequence[FileText], author: str) -> list[Step]:
        """At the start of the API: take in the files of the settings, as far as nobody has decided otherwise.

        A group that was never here is made; one that still belongs to its file follows it; all others are left alone.
        """
        groups, errors = self._read(files)
        if errors:
            raise InvalidRulesError(errors)
        parts = {name: (file.path, text) for file in files for name, text in split(file.path, file.text).items()}
        with self._database.write() as connection:
            current = {version.name: version for version in rules.in_force(connection)}
            ours = {name: found for name, found in current.items() if (found.owner, found.file) in _files(files)}
            fresh = parts.keys() - rules.known_names(connection)
            wanted = {name: part for name, part in parts.items() if name in fresh or name in ours}
            steps = _steps(wanted, ours, sorted({file.path for file in files}))
            kept = [group for group in groups if group.name in wanted]
            others = [self._group(version) for name, version in current.items() if name not in ours]
            if clashes(RuleSet((*others, *kept))):
                return []  # with what somebody made of the rules; which `apply` of the same files would tell
            self._carry_out(connection, steps, author)
            rules.owe_authority(connection, self._clock.now_ms())
        return steps

    def adopt(self, held: Mapping[str, bytes]) -> None:
        """Take over what the topic has from another database, when ours was lost: groups that were never here."""
        with self._database.write() as connection:
            own = rules.store_id(connection, self._clock.now_ms())
            records = [record for key, value in held.items() if (record := _decoded(key, value)) is not None]
            if all(record.store == own for record in records if isinstance(record, Authority)):
                return
            known = rules.known_names(connection)
            for record in records:
                if isinstance(record, PublishedGroup) and record.name not in known:
                    rules.insert_version(connection, _version_of(record), current=None)

    def _save(self, connection: Connection, group: RuleGroup, text: str, author: str) -> Version:
        others = [self._group(version) for version in rules.in_force(connection) if version.name != group.name]
        if together := clashes(RuleSet((*others, group))):
            raise InvalidRulesError(together)
        return rules.save(connection, Change(group.name, API, "", text), author, self._clock.now_ms())

    def _carry_out(self, connection: Connection, steps: Sequence[Step], author: str) -> None:
        changes = [step for step in steps if step.action != "unchanged"]
        for i, step in enumerate(changes, start=1):
            change = Change(step.name, FILE, step.file, step.after if step.action != "delete" else None)
            rules.save(connection, change, author, self._clock.now_ms(), more=i < len(changes))

    def _read(self, files: Sequence[FileText]) -> tuple[list[RuleGroup], list[RuleError]]:
        groups, errors = _read(files)
        return groups, errors + self._too_long(groups)

    def _single(self, text: str) -> RuleGroup:
        group = _single(text)
        if errors := self._too_long([group]):
            raise InvalidRulesError(errors)
        return group

    def _too_long(self, groups: Sequence[RuleGroup]) -> list[RuleError]:
        rules = RuleSet(tuple(groups))
        return too_long([*rules.rules, *(one.rule for one in rules.waiting)], self._raw_days)

    def _group(self, version: Version) -> RuleGroup:
        # A text that an older Fleetpulse took and this one does not is shown without its rules.
        key = (version.name, version.version)
        if key not in self._loaded:
            found, _ = read_text(version.file or f"group {version.name!r}", version.text)
            self._loaded[key] = found[0] if found else RuleGroup(version.name, version.file, 1, ())
        return self._loaded[key]


def _read(files: Sequence[FileText]) -> tuple[list[RuleGroup], list[RuleError]]:
    """The groups of files that are applied together, and what is wrong."""
    groups: list[RuleGroup] = []
    errors: list[RuleError] = []
    for file in files:
        found, complaints = read_text(file.path, file.text)
        errors += complaints
        for group in found:
            twin = next((other for other in groups if other.name == group.name), None)
            if twin is not None and twin.file != group.file:
                place = f"{twin.file}:{twin.line}"
                detail = f"group {group.name!r} is also at {place}: a group's name is its identity, rename one of them"
                errors.append(RuleError("duplicate", detail, file=group.file, line=group.line, field="name"))
        groups += found
    return groups, errors


def _single(text: str) -> RuleGroup:
    groups, errors = read_text(TEXT, text)
    if errors:
        raise InvalidRulesError(errors)
    if len(groups) != 1:
        raise InvalidRulesError(
            [
                RuleError(
                    "groups", f"one rule group is expected, here are {len(groups)}", file=TEXT, line=1, field="groups"
                )
            ]
        )
    return groups[0]


def _steps(parts: Mapping[str, tuple[str, str]], current: Mapping[str, Version], scopes: Sequence[str]) -> list[Step]:
    steps = []
    for name, (path, text) in parts.items():
        now = current.get(name)
        if now is not None and now.owner == API:
            raise ConflictError(f"{_described(now)} belongs to the API: delete it there, or rename the group of {path}")
        same = now is not None and (now.file, now.text) == (path, text)
        action = "unchanged" if same else "update" if now else "create"
        steps.append(Step(name, action, path, now.text if now else "", text))
    for name, now in current.items():
        if name not in parts and now.owner == FILE and any(_within(now.file, scope) for scope in scopes):
            steps.append(Step(name, "delete", now.file, now.text, ""))
    return steps


def _within(file: str, scope: str) -> bool:
    return scope in (".", file) or PurePosixPath(scope) in PurePosixPath(file).parents


def _files(files: Iterable[FileText]) -> set[tuple[str, str]]:
    return {(FILE, file.path) for file in files}


def _known(connection: Connection, name: str) -> Version:
    found = rules.group(connection, name)
    if found is None:
        names = [version.name for version in rules.in_force(connection)]
        nearest = difflib.get_close_matches(name, names, n=3)
        hint = f"; the nearest names are {', '.join(nearest)}" if nearest else ""
        raise NotFoundError(f"there is no rule group {name[:200]!r}{hint}", nearest)
    return found


def _may_change(current: Version, if_match: str | None) -> None:
    if current.owner == FILE:
        raise ConflictError(
            f"{_described(current)} belongs to the file {current.file}: change it there and run "
            "`fleetpulse rules apply` on it"
        )
    if if_match is None:
        raise PreconditionError(
            f'{_described(current)}: send If-Match: "{current.version}" (the ETag of what you read), or If-Match: *'
        )
    if if_match.strip() != "*" and if_match.strip().removeprefix("W/").strip('"') != str(current.version):
        raise StaleError(f"{_described(current)}; If-Match has {if_match}: read it again, then change it")


def _described(version: Version) -> str:
    changed = f"version {version.version} by {version.author}, {to_rfc3339(version.changed_ms)}"
    return f"rule group {version.name!r} ({changed})"


def _decoded(key: str, value: bytes) -> PublishedGroup | Authority | None:
    try:
        return decode(key, value)
    except FrameError:
        return None


def _version_of(record: PublishedGroup) -> Version:
    return Version(
        record.name, record.version, "create", record.owner, record.file, record.text, record.author, record.changed_ms
    )
