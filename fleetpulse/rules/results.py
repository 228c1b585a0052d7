"""A plan's vectors as an `Evaluation`: hosts that failed or are not warm give no samples."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetpulse.frames import Float64Array, Int64Array
from fleetpulse.promql.kernels import Vector
from fleetpulse.promql.nodes import Run, present_of
from fleetpulse.promql.rings import BoolArray
from fleetpulse.rules.evaluation import Evaluation
from fleetpulse.rules.model import Rule
from fleetpulse.rules.plans import Plan
from fleetpulse.rules.result_keys import ResultKeys


class Result(NamedTuple):
    """One plan's result: `host_index` is the place in the run's hosts, `errors` the failed places."""

    run: Run
    host_index: npt.NDArray[np.int32]
    key: Int64Array
    value: Float64Array
    errors: dict[int, str]


def result_of(plan: Plan, run: Run, keys: ResultKeys) -> Result:
    """Run a plan for the hosts of a run."""
    vector = run.of(plan.node)
    errors: dict[int, str] = {}
    present: BoolArray | None = vector.present
    if run.failed:
        for node in plan.nodes:
            failure = run.failed.get(id(node))
            if failure is not None:
                failed, sentence = failure
                errors.update(dict.fromkeys(np.flatnonzero(failed).tolist(), sentence))
                present = present_of(Vector(vector.value, present)) & ~failed[:, None]
    key, every = _noted(plan, run, keys)
    if present is None:
        return Result(run, every, key.ravel(), vector.value.ravel(), errors)
    return Result(run, np.nonzero(present)[0].astype(np.int32), key[present], vector.value[present], errors)


def _noted(plan: Plan, run: Run, keys: ResultKeys) -> tuple[Int64Array, npt.NDArray[np.int32]]:
    """The keys int64[h, k] of a plan's results, and for each of them the place of its host."""
    noted = run.keys.get(id(plan.output))
    if noted is None:
        key = keys.of(plan.output, run.hosts)
        noted = (key, np.repeat(np.arange(len(run.hosts), dtype=np.int32), key.shape[1]))
        run.keys[id(plan.output)] = noted
    return noted


def cold_result(run: Run) -> Result:
    """The result of hosts whose windows are not warm."""
    return Result(run, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), np.zeros(0), {})


def joined(rule: Rule, results: list[Result], names: Sequence[str], warm: bool) -> Evaluation:
    """One evaluation of a rule from the results of its plans; `names` by number of a host."""
    if len(results) == 1:
        (run, host_index, key, value, errors) = results[0]
        return Evaluation(rule, run.hosts, names, run.at_ms, _appended(run), warm, host_index, key, value, errors)
    starts = np.cumsum([0, *(len(result.run.hosts) for result in results)], dtype=np.int32).tolist()
    return Evaluation(
        rule=rule,
        host=np.concatenate([result.run.hosts for result in results]),
        names=names,
        at_ms=np.concatenate([result.run.at_ms for result in results]),
        appended_ms=np.concatenate([_appended(result.run) for result in results], axis=1),
        warm=warm,
        host_index=np.concatenate([r.host_index + np.int32(n) for r, n in zip(results, starts, strict=False)]),
        key=np.concatenate([result.key for result in results]),
        value=np.concatenate([result.value for result in results]),
        errors={
            place + start: sentence
            for result, start in zip(results, starts, strict=False)
            for place, sentence in result.errors.items()
        },
    )


def _appended(run: Run) -> Int64Array:
    return np.stack([run.at_ms, run.at_ms]) if run.appended_ms is None else run.appended_ms
