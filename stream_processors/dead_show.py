"""One dead letter for a person or a program: decoded as far as it decodes, else its bytes. Pure.

What a letter says may come from anybody, so a line for a terminal has no control characters.
"""

import base64
import math
import struct
from typing import Any

from fleetpulse.clock import to_rfc3339
from fleetpulse.errors import FrameError
from fleetpulse.frames import columns_of
from fleetpulse.partition import partition_of
from fleetpulse.wire import Block, Frame, decode_frame
from stream_processors.dead_topic import DeadLetter

DUMPED_BYTES = 1024
SHOWN_SAMPLES = 20  # of a block


def line(letter: DeadLetter) -> str:
    """One line: number, time, place, reason, detail."""
    cut = f" (cut to {len(letter.value)} of {letter.whole_bytes} bytes)" if letter.cut else ""
    text = f"#{letter.number} {to_rfc3339(letter.died_ms)} {letter.place} {letter.reason}: {letter.detail}{cut}"
    return printable(text)


def as_json(letter: DeadLetter, partitions: int) -> dict[str, Any]:
    """The letter whole: its value as base64, and its frame with every sample when it is one."""
    document: dict[str, Any] = {
        "number": letter.number,
        "died_at": to_rfc3339(letter.died_ms),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "headers": {name: value.decode(errors="replace") for name, value in letter.headers},
        "value": base64.b64encode(letter.value).decode(),
        "whole_bytes": letter.whole_bytes,
        "cut": letter.cut,
        "frame": None,
        "unreadable": None,
    }
    try:
        document["frame"] = _frame(decode_frame(letter.value), partitions)
    except FrameError as error:
        document["unreadable"] = str(error)
    return document


def as_text(letter: DeadLetter, partitions: int) -> list[str]:
    """The same as lines; of large blocks and values the beginning."""
    document = as_json(letter, partitions)
    size = f"cut to {len(letter.value)} of {letter.whole_bytes}" if letter.cut else str(len(letter.value))
    lines = [
        f"#{letter.number}  {letter.place}  died {document['died_at']}",
        f"reason   {letter.reason}: {letter.detail}",
        f"headers  {' '.join(f'{name}={value}' for name, value in document['headers'].items()) or 'none'}",
        f"value    {size} bytes",
    ]
    frame = document["frame"]
    if frame is None:
        lines += [f"frame    {document['unreadable']}", *hexdump(letter.value)]
    else:
        lines.append(f"frame    version {frame['version']}, sent {frame['sent_at']}, {len(frame['blocks'])} blocks")
        lines += [f"dropped  {loss}" for loss in frame["dropped"]] + (["closed"] if frame["closed"] else [])
        for block in frame["blocks"]:
            lines += _block_lines(block)
    return list(map(printable, lines))


def hexdump(value: bytes) -> list[str]:
    """The first DUMPED_BYTES: offset, sixteen bytes, the same as ASCII."""
    lines = []
    for start in range(0, min(len(value), DUMPED_BYTES), 16):
        part = value[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<47}  {text}")
    if len(value) > DUMPED_BYTES:
        lines.append(f"… {len(value) - DUMPED_BYTES} more bytes; --json has all")
    return lines


def printable(text: str) -> str:
    """The text with everything that a terminal might obey as an escape of Python's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def _frame(frame: Frame, partitions: int) -> dict[str, Any]:
    control = frame.control
    return {
        "version": frame.v,
        "sent_at": _time(frame.sent_ms),
        "closed": control is not None and control.closed,
        "dropped": [
            {"host": loss.host, "hour": _time(loss.hour_ms), "samples": loss.samples}
            for loss in (control.dropped if control else ())
        ],
        "blocks": [_block(block, partitions) for block in frame.blocks],
    }


def _block(block: Block, partitions: int) -> dict[str, Any]:
    document: dict[str, Any] = {
        "host": block.host,
        "host_partition": partition_of(block.host, partitions),
        "common": block.common,
        "sent": block.sent,
        "samples": [],
        "unreadable": None,
    }
    try:
        columns = columns_of(block)
    except FrameError as error:
        return document | {"unreadable": str(error)}
    series = block.series.decode(errors="replace").split("\n")
    index = range(len(columns.value)) if columns.index is None else columns.index.tolist()
    document["samples"] = [
        {"series": series[number], "time": _time(ms), "value": _value(value)}
        for number, ms, value in zip(index, columns.ts.tolist(), columns.value.tolist(), strict=True)
    ]
    return document


def _block_lines(block: dict[str, Any]) -> list[str]:
    samples = block["samples"]
    common = ", ".join(f'{name}="{value}"' for name, value in block["common"].items())
    lines = [
        f"block    host {block['host']} (partition {block['host_partition']}), {len(samples)} samples, "
        f"sent {block['sent']}, common {common or 'none'}"
    ]
    if block["unreadable"]:
        return [*lines, f"  {block['unreadable']}"]
    lines += [f"  {sample['time']}  {sample['series']}  {sample['value']}" for sample in samples[:SHOWN_SAMPLES]]
    if len(samples) > SHOWN_SAMPLES:
        lines.append(f"  … {len(samples) - SHOWN_SAMPLES} more samples; --json has all")
    return lines


def _time(milliseconds: int) -> str:
    try:
        return to_rfc3339(milliseconds)
    except (ValueError, OverflowError):
        return f"{milliseconds} ms"


def _value(value: float) -> str:
    """As Prometheus writes it; a NaN with its bits, which tell stale from undefined."""
    if math.isnan(value):
        return f"NaN({struct.unpack('<Q', struct.pack('<d', value))[0]:#x})"
    return f"{'+' if value > 0 else '-'}Inf" if math.isinf(value) else repr(value)
