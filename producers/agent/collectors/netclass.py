"""What sysfs says about each network device: state, speed, size of packets, addresses."""

import os

from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

# file → metric; flags and the device id are hexadecimal, and int(…, 0) reads both
_NUMBERS = {
    "addr_assign_type": "node_network_address_assign_type",
    "carrier": "node_network_carrier",
    "carrier_changes": "node_network_carrier_changes_total",
    "carrier_up_count": "node_network_carrier_up_changes_total",
    "carrier_down_count": "node_network_carrier_down_changes_total",
    "dev_id": "node_network_device_id",
    "dormant": "node_network_dormant",
    "flags": "node_network_flags",
    "ifindex": "node_network_iface_id",
    "iflink": "node_network_iface_link",
    "link_mode": "node_network_iface_link_mode",
    "mtu": "node_network_mtu_bytes",
    "name_assign_type": "node_network_name_assign_type",
    "netdev_group": "node_network_net_dev_group",
    "tx_queue_len": "node_network_transmit_queue_length",
    "type": "node_network_protocol_type",
}
_TEXTS = ("address", "broadcast", "duplex", "ifalias", "operstate")
_BYTES_PER_MEGABIT = 1_000_000 / 8


def netclass(roots: Roots) -> Samples:
    """node_network_up, …_info, …_speed_bytes (a second) and the numbers of each device."""
    samples: Samples = []
    for device in os.listdir(f"{roots.sys}/class/net"):
        texts = {name: _text(roots, device, name) or "" for name in _TEXTS}
        if not texts["operstate"]:
            continue  # not a device (bonding_masters), or gone a moment ago
        samples.append((series("node_network_info", device=device, **texts), 1.0))
        samples.append((series("node_network_up", device=device), float(texts["operstate"] == "up")))
        for name, metric in _NUMBERS.items():
            value = _text(roots, device, name)
            if value:
                samples.append((series(metric, device=device), float(int(value, 0))))
        speed = _text(roots, device, "speed")
        if speed:
            samples.append((series("node_network_speed_bytes", device=device), int(speed) * _BYTES_PER_MEGABIT))
    return samples


def _text(roots: Roots, device: str, name: str) -> str | None:
    try:
        return roots.read_sys(f"class/net/{device}/{name}").strip()
    except (NoDataError, OSError):
        return None  # many files answer EINVAL while the device is down
