"""A plan's vectors as an `Evaluation`: hosts that failed or are not warm give no samples."""

from typing import NamedTuple

import numpy as np

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.nodes import Run, present_of
from fleetpulse.promql.rings import BoolArray, IntArray
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.hosts import HostNumbers
from fleetpulse.rules.model import Rule
from fleetpulse.rules.plans import Plan
from fleetpulse.rules.result_keys import ResultKeys


class Result(NamedTuple):
    """One plan's result: `host_index` is the place in `hosts`, `errors` the failed places."""

    hosts: IntArray
    at_ms: Int64Array
    host_index: IntArray
    key: Int64Array
    value: Float64Array
    errors: dict[int, str]


def result_of(plan: Plan, run: Run, keys: ResultKeys) -> Result:
    """Run a plan for the hosts of a run."""
    vector = run.of(plan.node)
    errors: dict[int, str] = {}
    present: BoolArray | None = vector.present
    for node in plan.nodes:
        failure = run.failed.get(id(node))
        if failure is not None:
            failed, sentence = failure
            errors.update(dict.fromkeys(np.flatnonzero(failed).tolist(), sentence))
            present = present_of(vector) & ~failed[:, None] if present is None else present & ~failed[:, None]
    key = keys.of(plan.output, run.hosts)
    if present is None:
        host_index = np.repeat(np.arange(len(run.hosts)), key.shape[1])
        return Result(run.hosts, run.at_ms, host_index, key.ravel(), vector.value.ravel(), errors)
    return Result(run.hosts, run.at_ms, np.nonzero(present)[0], key[present], vector.value[present], errors)


def cold_result(run: Run) -> Result:
    """The result of hosts whose windows are not warm."""
    nothing = np.zeros(0, dtype=np.intp)
    return Result(run.hosts, run.at_ms, nothing, np.zeros(0, dtype=np.int64), np.zeros(0), {})


def joined(rule: Rule, results: list[Result], warm: bool, hosts: HostNumbers) -> Evaluation:
    """One evaluation of a rule from the results of its plans."""
    starts = np.cumsum([0, *(len(result.hosts) for result in results)])
    numbers = np.concatenate([result.hosts for result in results])
    names = hosts.names
    return Evaluation(
        rule=rule,
        hosts=[names[number] for number in numbers.tolist()],
        at_ms=np.concatenate([result.at_ms for result in results]),
        not_warm=np.full(len(numbers), not warm),
        host_index=np.concatenate([r.host_index + start for r, start in zip(results, starts[:-1], strict=True)]).astype(
            np.int32
        ),
        key=np.concatenate([result.key for result in results]),
        value=np.concatenate([result.value for result in results]),
        errors={
            place + int(start): sentence
            for result, start in zip(results, starts[:-1], strict=True)
            for place, sentence in result.errors.items()
        },
    )
