"""The golden examples of the wire format: `<name>.frame` (the message) and `<name>.json` (what it means).

Every writer's test writes them and every reader's reads them; an old one is never changed or deleted. A float is
its 64 bits in hexadecimal, since JSON has no NaN.
"""

import json
import struct
from pathlib import Path
from typing import Any

from fleetpulse.frames import columns_of
from fleetpulse.metric import with_common
from fleetpulse.wire import Frame

FOLDER = Path(__file__).parent.parent / "golden"


def names() -> list[str]:
    """Every example of a readable frame."""
    return sorted(path.stem for path in FOLDER.glob("*.frame") if path.with_suffix(".json").exists())


def message(name: str) -> bytes:
    """The message of an example."""
    return (FOLDER / f"{name}.frame").read_bytes()


def meaning(name: str) -> dict[str, Any]:
    """What the example means."""
    return dict(json.loads((FOLDER / f"{name}.json").read_text()))


def meaning_of(frame: Frame) -> dict[str, Any]:
    """What a decoded frame means, in the form of the JSON files."""
    samples = []
    for block in frame.blocks:
        columns = columns_of(block)
        keys = block.series.decode().split("\n")
        index = range(len(columns.value)) if columns.index is None else columns.index.tolist()
        for i, (series, ts, value) in enumerate(zip(index, columns.ts.tolist(), columns.value.tolist(), strict=True)):
            bits = f"{struct.unpack('<Q', columns.value[i : i + 1].tobytes())[0]:016x}"
            key = with_common(keys[series], block.common)
            samples.append({"host": block.host, "series": key, "ts_ms": ts, "bits": bits, "about": repr(value)})
    control = None
    if frame.control:
        dropped = [{"host": d.host, "hour_ms": d.hour_ms, "samples": d.samples} for d in frame.control.dropped]
        control = {"dropped": dropped, "closed": frame.control.closed}
    return {
        "v": frame.v,
        "sent_ms": frame.sent_ms,
        "sent": {block.host: block.sent for block in frame.blocks},
        "samples": samples,
        "control": control,
    }
