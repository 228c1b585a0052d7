"""Threads for sending: a few for each integration, so that one that hangs keeps no other waiting.

All of a group's notifications to an integration go through one thread, in order.
"""

import zlib
from collections.abc import Callable, Sequence

from fleetpulse.notify.config import Integration
from fleetpulse.notify.notifier import Notification, Outcome
from stream_processors.own_thread import OwnThread

LANES = 4

Send = Callable[[Notification], tuple[Outcome, str]]


class Lanes:
    """The threads of all integrations."""

    def __init__(self, integrations: Sequence[Integration]) -> None:
        self._threads = {item.name: [OwnThread(f"send {item.name}") for _ in range(LANES)] for item in integrations}

    async def call(self, notification: Notification, send: Send) -> tuple[Outcome, str]:
        """What `send` says."""
        lane = zlib.crc32(notification.group.encode()) % LANES
        return await self._threads[notification.integration.name][lane].call(send, notification)
