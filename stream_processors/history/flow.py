"""A batch of alert events: 1 read it, 2 insert it, 3 acknowledge it, in that order."""

import asyncio
import logging
from collections.abc import Sequence

from fleetpulse.errors import FrameError
from fleetpulse.logs import log_fields
from fleetpulse.selfmetrics import SelfMetrics
from stream_processors.history.rows import Row, row_of
from stream_processors.history.sink import Sink, StoppedError
from stream_processors.inbox import Acknowledges, Inbox, Message
from stream_processors.own_thread import OwnThread

log = logging.getLogger(__name__)


class Flow:
    """Connects stream and sink; lives on the event loop."""

    def __init__(self, inbox: Inbox, sink: Sink, metrics: SelfMetrics) -> None:
        self._inbox, self._sink, self._metrics = inbox, sink, metrics
        self._thread = OwnThread("sink")
        self._busy = asyncio.Lock()
        self._stopped = False

    async def take(self, stream: Acknowledges, messages: Sequence[Message]) -> None:
        """Do one batch of messages of any partitions."""
        async with self._busy:
            if self._stopped:
                return
            try:
                rows = [row for message in messages if (row := self._row(message)) is not None]  # 1
                if rows:
                    await self._thread.call(self._sink.store, rows)  # 2
            except StoppedError as error:
                log.warning(str(error))
                return
            for partition in {message.partition for message in messages}:  # 3
                newest = max(message.offset for message in messages if message.partition == partition)
                await self._inbox.acknowledge(stream, partition, newest + 1)
            self._metrics.add("fleetpulse_consumer_messages_total", len(messages))

    async def drain(self) -> None:
        """Let the batch in hand finish; give up at once when ClickHouse is away."""
        self._stopped = True
        if self._sink.failing is not None:
            self._sink.stop()
        async with self._busy:
            self._sink.stop()

    def _row(self, message: Message) -> Row | None:
        try:
            return row_of(message)
        except (FrameError, ValueError) as error:
            place = {"partition": message.partition, "offset": message.offset}
            log.error("not an alert event, left out", extra=log_fields(**place, cause=str(error)))
            self._metrics.add("fleetpulse_history_unreadable_total")
            return None
