"""The past of long windows: whatever goes wrong with it, the stream goes on, and it is asked for with pauses."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fleetpulse.rules.partition import PartitionRules
from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.rules import warm_up

WINDOWS = object()


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def test_what_nobody_expected_is_tried_again_with_pauses(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def connect(url: str) -> object:
        asked.append(url)
        raise ValueError("a value that no column has")

    monkeypatch.setattr(warm_up, "connect", connect)
    partition = SimpleNamespace(lacks=lambda: ["something"], next_offset=1, windows=WINDOWS, append_ms=0)

    async def look_often() -> None:
        past = warm_up.WarmUp("clickhouse://nowhere/x", "metrics", 1, SelfMetrics())
        for _ in range(20):
            await past.look({0: cast(PartitionRules, partition)}, _called)
            await asyncio.sleep(0.01)
        assert past._task is not None
        await past._task

    with caplog.at_level(logging.ERROR):
        asyncio.run(look_often())
    assert len(asked) == 1
    assert "their past cannot be used" in caplog.text
