"""Where in a partition this worker goes on, as the ledger says: what to leave out, and what may be stored unwritten."""

from stream_processors.ingest.intake import Chunk
from stream_processors.ingest.ledger import Reached

MOST_UNWRITTEN = 4_000_000  # samples that an earlier owner may have stored without a row in the ledger: one batch


class Progress:
    """Of one partition, since it was taken over.

    `incarnation` counts how often the topic was created anew; `lost` is the number of messages that are missing before
    the next row of the ledger.
    """

    def __init__(self) -> None:
        self.incarnation = 0
        self.lost = 0
        self._stored_before = 0
        self._unsettled_before = 0
        self._samples = 0

    def go_on(self, chunk: Chunk, reached: Reached | None, lost: int) -> None:
        """Begin with this chunk behind what earlier owners `reached`.

        A lower offset that was appended after all that they stored is of another topic, created anew under the name.
        """
        self.lost = lost
        self._stored_before, self.incarnation = 0, 0
        if reached is not None:
            renewed = chunk.first_offset < reached.next_offset and chunk.first_append_ms > reached.append_ms
            self._stored_before = 0 if renewed else reached.next_offset
            self.incarnation = reached.incarnation + renewed
        self._unsettled_before = chunk.end_offset
        self._samples = 0

    def not_stored(self, chunk: Chunk) -> Chunk | None:
        """The chunk without the messages that are stored already; None when all are."""
        return chunk if chunk.first_offset >= self._stored_before else chunk.rest(self._stored_before)

    def unsettled(self, chunk: Chunk) -> bool:
        """Whether an earlier owner may have stored the chunk without a row in the ledger."""
        before = self._samples
        self._samples += chunk.samples
        return chunk.first_offset < self._unsettled_before and before < MOST_UNWRITTEN
