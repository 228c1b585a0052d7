"""Random expressions that the stream takes, from a seed; they read `promql_language.language_fleet`.

Where Prometheus 2.42 and 3 differ between ticks, those for 2 avoid it.
"""

import random

from tests.support.promql_language import COUNTER_CALLS, DATE_CALLS, RANGE_CALLS, SINCE_3, VALUE_CALLS

_METRICS = ("c", "gauge", "total", "odd", "late", "up", 'c{mode="idle"}', 'gauge{n="1"}', 'odd{kind!="special"}')
_OWN = ("instance", "instance, job", "instance, n", "instance, mode", "instance, cpu, mode, n, kind")
_OTHERS = ("n", "mode, cpu", "kind", "cpu", "job")
# ^ and % are left out: they make much of a last digit.
_ARITHMETIC = ("+", "-", "*", "/")
_COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
_OF_INFINITY = ("stddev", "stdvar", "quantile")  # of infinite values 2.42 says another thing than 3


class _Dice(random.Random):
    """A source of random numbers that knows which Prometheus will read what comes of it."""

    version = 2


def random_expressions(seed: int, count: int, version: int = 2) -> list[str]:
    """Different expressions, small ones and nested ones."""
    dice = _Dice(seed)
    dice.version = version
    found: dict[str, None] = {}
    while len(found) < count:
        found[_vector(dice, dice.choice((1, 2, 2, 3, 3, 4)))] = None
    return list(found)


def _vector(dice: _Dice, depth: int) -> str:
    if depth <= 1:
        metric = dice.choice(_METRICS)
        kind = dice.random()
        if kind < 0.4:
            return metric
        offset = dice.choice(("", "", "", " offset 30s"))
        call = dice.choice(RANGE_CALLS if dice.version == 2 else (*RANGE_CALLS, *SINCE_3))
        if call in COUNTER_CALLS and dice.version == 2:
            metric = "c{cpu='0'}"
        return f"{call}({metric}[{dice.choice(('20s', '1m', '90s', '3m'))}]{offset})"
    return dice.choice((_aggregate, _aggregate, _scalar_binary, _binary, _binary, _set, _each))(dice, depth - 1)


def _aggregate(dice: _Dice, depth: int) -> str:
    op = dice.choice(("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "topk", "bottomk"))
    grouping = f"by ({dice.choice(_OWN)})" if dice.random() < 0.6 else f"without ({dice.choice(_OTHERS)})"
    # Of equal values topk may take any: distinct ones are asked for.
    if op in ("topk", "bottomk"):
        return f"{op} {grouping} ({dice.randrange(1, 4)}, gauge)"
    param = f"{dice.choice(('0', '0.25', '0.9', '1'))}, " if op == "quantile" else ""
    inner = _vector(dice, depth)
    if op in _OF_INFINITY and dice.version == 2:
        inner = f"clamp({inner}, -1e6, 1e6) >= -1e6"
    return f"{op} {grouping} ({param}{inner})"


def _scalar(dice: _Dice) -> str:
    return dice.choice(("2", "0.5", "-3", "time()", "(time() - 7)", "100", "NaN", "Inf"))


def _scalar_binary(dice: _Dice, depth: int) -> str:
    op = dice.choice((*_ARITHMETIC, *_COMPARISONS))
    boolean = " bool" if op in _COMPARISONS and dice.random() < 0.4 else ""
    sides = [f"({_vector(dice, depth)})", _scalar(dice)]
    dice.shuffle(sides)
    return f"{sides[0]} {op}{boolean} {sides[1]}"


def _match(dice: _Dice) -> str:
    kind = dice.random()
    if kind < 0.4:
        return ""
    return f" on ({dice.choice(_OWN)})" if kind < 0.7 else f" ignoring ({dice.choice(_OTHERS)})"


def _binary(dice: _Dice, depth: int) -> str:
    op = dice.choice((*_ARITHMETIC, *_COMPARISONS))
    boolean = " bool" if op in _COMPARISONS and dice.random() < 0.4 else ""
    match = _match(dice)
    if match and dice.random() < 0.5:
        match += dice.choice((" group_left ()", " group_right ()", " group_left (n)", " group_right (mode, kind)"))
    if "on (" in match and any(label in match.partition("group")[0] for label in ("mode", "kind", " n")):
        match = match.partition(" group")[0]  # a label may not be matched and taken
    return f"({_vector(dice, depth)}) {op}{boolean}{match} ({_vector(dice, max(1, depth - 1))})"


def _set(dice: _Dice, depth: int) -> str:
    op = dice.choice(("and", "or", "unless"))
    return f"({_vector(dice, depth)}) {op}{_match(dice)} ({_vector(dice, depth)})"


def _each(dice: _Dice, depth: int) -> str:
    inner = _vector(dice, depth)
    kind = dice.random()
    if kind < 0.4:
        return f"{dice.choice(VALUE_CALLS)}({inner})"
    if kind < 0.5:
        return f"{dice.choice(DATE_CALLS)}({dice.choice(('c', 'gauge * 1e6'))})"
    return dice.choice(
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
