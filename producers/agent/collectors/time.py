"""This machine's clock: what it says, its zone, and its source."""

import time as clock

from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

_SOURCE = "devices/system/clocksource/clocksource0"


def time(roots: Roots) -> Samples:
    """node_time_seconds, node_time_zone_offset_seconds{time_zone}, node_time_clocksource_…_info{device,clocksource}."""
    zone = clock.localtime()
    samples = [
        (series("node_time_seconds"), clock.time()),
        (series("node_time_zone_offset_seconds", time_zone=zone.tm_zone), float(zone.tm_gmtoff)),
    ]
    try:
        available = roots.read_sys(f"{_SOURCE}/available_clocksource").split()
        current = roots.read_sys(f"{_SOURCE}/current_clocksource").strip()
    except NoDataError:
        return samples
    available_info, current_info = "node_time_clocksource_available_info", "node_time_clocksource_current_info"
    samples += [(series(available_info, device="0", clocksource=source), 1.0) for source in available]
    return [*samples, (series(current_info, device="0", clocksource=current), 1.0)]
