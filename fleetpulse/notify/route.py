"""Stage *route*: which leaves of the tree an alert reaches. Stage *group*: under which labels it is told there."""

from collections.abc import Iterator, Mapping

from fleetpulse.notify.config import ALL_LABELS, Route
from fleetpulse.notify.matchers import matches


def routes_of(root: Route, labels: Mapping[str, str]) -> list[Route]:
    """The routes of an alert, never none: the first child that matches, and those after a `continue`; else itself."""
    return list(_matching(root, labels))


def group_labels_of(route: Route, labels: Mapping[str, str], host: str = "") -> dict[str, str]:
    """The labels that an alert's group has at a route; a label that the alert has not is left out.

    `host` may be named although the alert's series have no such label.
    """
    if route.group_by == (ALL_LABELS,):
        return dict(labels)
    known = {"host": host, **labels} if host else labels
    return {name: known[name] for name in route.group_by if name in known}


def _matching(route: Route, labels: Mapping[str, str]) -> Iterator[Route]:
    found = False
    for child in route.routes:
        if not matches(child.matchers, labels):
            continue
        found = True
        yield from _matching(child, labels)
        if not child.goes_on:
            break
    if not found:
        yield route
