"""Random expressions that the stream takes, from a seed; they read `promql_language.language_fleet`."""

import random

from tests.support.promql_language import COUNTER_CALLS, DATE_CALLS, RANGE_CALLS, VALUE_CALLS

_METRICS = ("c", "gauge", "total", "odd", "late", "up", 'c{mode="idle"}', 'gauge{n="1"}', 'odd{kind!="special"}')
_OWN = ("instance", "instance, job", "instance, n", "instance, mode", "instance, cpu, mode, n, kind")
_OTHERS = ("n", "mode, cpu", "kind", "cpu", "job")
# ^ and % are left out: they make much of a last digit.
_ARITHMETIC = ("+", "-", "*", "/")
_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")


def random_expressions(seed: int, count: int) -> list[str]:
    """Different expressions, small ones and nested ones."""
    rng = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        found[_vector(rng, rng.choice((1, 2, 2, 3, 3, 4)))] = None
    return list(found)


def _vector(rng: random.Random, depth: int) -> str:
    if depth <= 1:
        metric = rng.choice(_METRICS)
        kind = rng.random()
        if kind < 0.4:
            return metric
        offset = rng.choice(("", "", "", " offset 30s"))
        call = rng.choice(RANGE_CALLS)
        metric = "c{cpu='0'}" if call in COUNTER_CALLS else metric
        return f"{call}({metric}[{rng.choice(('20s', '1m', '90s', '3m'))}]{offset})"
    return rng.choice((_aggregate, _aggregate, _scalar_binary, _binary, _binary, _set, _each))(rng, depth - 1)


def _aggregate(rng: random.Random, depth: int) -> str:
    op = rng.choice(("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk"))
    grouping = f"by ({rng.choice(_OWN)})" if rng.random() < 0.6 else f"without ({rng.choice(_OTHERS)})"
    # Of equal values topk may take any: distinct ones are asked for.
    if op in ("topk", "bottomk"):
        return f"{op} {grouping} ({rng.randrange(1, 4)}, gauge)"
    param = f"{rng.choice(('0', '0.25', '0.9', '1'))}, " if op == "quantile" else ""
    inner = _vector(rng, depth)
    if op in ("stddev", "stdvar"):  # of one infinite value 2.42 says 0, 3 says NaN
        inner = f"clamp({inner}, -1e6, 1e6) >= -1e6"
    return f"{op} {grouping} ({param}{inner})"


def _scalar(rng: random.Random) -> str:
    return rng.choice(("2", "0.5", "-3", "time()", "(time() - 7)", "100", "NaN", "Inf"))


def _scalar_binary(rng: random.Random, depth: int) -> str:
    op = rng.choice((*_ARITHMETIC, *_COMPARISONS))
    boolean = " bool" if op in _COMPARISONS and rng.random() < 0.4 else ""
    sides = [f"({_vector(rng, depth)})", _scalar(rng)]
    rng.shuffle(sides)
    return f"{sides[0]} {op}{boolean} {sides[1]}"


def _match(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return ""
    return f" on ({rng.choice(_OWN)})" if kind < 0.7 else f" ignoring ({rng.choice(_OTHERS)})"


def _binary(rng: random.Random, depth: int) -> str:
    op = rng.choice((*_ARITHMETIC, *_COMPARISONS))
    boolean = " bool" if op in _COMPARISONS and rng.random() < 0.4 else ""
    match = _match(rng)
    if match and rng.random() < 0.5:
        match += rng.choice((" group_left ()", " group_right ()", " group_left (n)", " group_right (mode, kind)"))
    if "on (" in match and any(label in match.partition("group")[0] for label in ("mode", "kind", " n")):
        match = match.partition(" group")[0]  # a label may not be matched and taken
    return f"({_vector(rng, depth)}) {op}{boolean}{match} ({_vector(rng, max(1, depth - 1))})"


def _set(rng: random.Random, depth: int) -> str:
    op = rng.choice(("and", "or", "unless"))
    return f"({_vector(rng, depth)}) {op}{_match(rng)} ({_vector(rng, depth)})"


def _each(rng: random.Random, depth: int) -> str:
    inner = _vector(rng, depth)
    kind = rng.random()
    if kind < 0.4:
        return f"{rng.choice(VALUE_CALLS)}({inner})"
    if kind < 0.5:
        return f"{rng.choice(DATE_CALLS)}({rng.choice(('c', 'gauge * 1e6'))})"
    return rng.choice(
        (
            f"-({inner})",
            f"clamp({inner}, -10, 60)",
            f"clamp_min({inner}, 5)",
            f"round({inner}, 4)",
            f"sort({inner})",
            f'label_replace({inner}, "new", "$1-x", "job", "(.).*")',
            f'label_join({inner}, "both", "-", "mode", "n")',
        )
    )
