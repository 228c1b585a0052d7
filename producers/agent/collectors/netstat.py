"""IP, ICMP, TCP and UDP counters, from /proc/net/netstat, snmp and snmp6."""

import re
from collections.abc import Iterator

from producers.agent.proc import Roots
from producers.agent.samples import NoDataError, Samples, series

# node_exporter's default
_FIELDS = re.compile(
    r".*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)"
    r"|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts)"
    r"|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)"
    r"|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors)"
)
_SNMP6 = re.compile(r"(Ip6|Icmp6|Udp6|UdpLite6)(\w+)")
_wanted: dict[str, bool] = {}


def netstat(roots: Roots) -> Samples:
    """node_netstat_<protocol>_<field>."""
    samples: Samples = []
    for field, value in _fields(roots):
        wanted = _wanted.get(field)
        if wanted is None:
            wanted = _wanted[field] = bool(_FIELDS.fullmatch(field))
        if wanted:
            samples.append((series(f"node_netstat_{field}"), float(value)))
    return samples


def _fields(roots: Roots) -> Iterator[tuple[str, str]]:
    for name in ("net/netstat", "net/snmp"):
        lines = roots.read_proc(name).splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            protocol, _, rest = names.partition(":")
            for field, value in zip(rest.split(), values.partition(":")[2].split(), strict=True):
                yield f"{protocol}_{field}", value
    try:
        snmp6 = roots.read_proc("net/snmp6")
    except NoDataError:
        return  # no IPv6 on this machine
    for line in snmp6.splitlines():
        field, value = line.split()
        if match := _SNMP6.fullmatch(field):
            yield f"{match[1]}_{match[2]}", value
