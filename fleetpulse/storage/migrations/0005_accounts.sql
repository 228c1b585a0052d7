-- What `fleetpulse audit` adds up, in the row that says what was stored, so that both are there or neither.
-- accounts: 1 in rows that have the columns below. unsettled: samples `found` in the table may be copies that the range
-- itself left there in an earlier attempt. incarnation: of the topic; it grows when the topic was created anew.
-- lost: messages before first_offset that were gone before anybody read them.
-- spans: samples that came in frames that could be read, by hour of the sample; `first` is the producer's own number of
-- the first of them (the host's samples before it), or -1 when the producer does not number them.
-- doubts: of those, the samples refused, the samples whose series has one of the same time already (`known`), and how
-- many of these are known only because they were found in the table.
ALTER TABLE ledger
    ADD COLUMN IF NOT EXISTS accounts UInt8 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS unsettled UInt8 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS incarnation UInt32 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS lost UInt64 DEFAULT 0,
    ADD COLUMN IF NOT EXISTS `spans.producer` Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS `spans.host` Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS `spans.hour` Array(DateTime('UTC')) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `spans.first` Array(Int64) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `spans.samples` Array(UInt32) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS `doubts.host` Array(String),
    ADD COLUMN IF NOT EXISTS `doubts.hour` Array(DateTime('UTC')),
    ADD COLUMN IF NOT EXISTS `doubts.refused` Array(UInt32),
    ADD COLUMN IF NOT EXISTS `doubts.known` Array(UInt32),
    ADD COLUMN IF NOT EXISTS `doubts.found` Array(UInt32),
    ADD COLUMN IF NOT EXISTS `dead_spans.producer` Array(String),
    ADD COLUMN IF NOT EXISTS `dead_spans.seq` Array(UInt64),
    ADD COLUMN IF NOT EXISTS `dead_spans.host` Array(String),
    ADD COLUMN IF NOT EXISTS `dead_spans.hour` Array(DateTime('UTC')),
    ADD COLUMN IF NOT EXISTS `dead_spans.first` Array(Int64),
    ADD COLUMN IF NOT EXISTS `dead_spans.samples` Array(UInt32),
    ADD COLUMN IF NOT EXISTS `dropped.producer` Array(String),
    ADD COLUMN IF NOT EXISTS `dropped.seq` Array(UInt64),
    ADD COLUMN IF NOT EXISTS `dropped.host` Array(String),
    ADD COLUMN IF NOT EXISTS `dropped.hour` Array(DateTime('UTC')),
    ADD COLUMN IF NOT EXISTS `dropped.samples` Array(UInt64),
    ADD COLUMN IF NOT EXISTS `replayed.producer` Array(String),
    ADD COLUMN IF NOT EXISTS `replayed.seq` Array(UInt64),
    ADD COLUMN IF NOT EXISTS closed Array(String);
