"""Series ids: 12 bits of the name, then 52 of the key."""

from fleetpulse.identity import KEY_BITS, name_prefix, series_id


def test_series_of_one_metric_share_the_first_bits() -> None:
    ids = {series_id(f'node_cpu_seconds_total{{cpu="{core}"}}') for core in range(1000)}
    assert len(ids) == 1000
    assert {identity >> KEY_BITS for identity in ids} == {name_prefix("node_cpu_seconds_total")}
    assert all(0 <= identity < 2**64 for identity in ids)


def test_ids_are_the_same_in_every_release() -> None:
    # stored for years: these numbers may never change
    assert series_id("up") == 0xDD298FF33252F164
    assert series_id('up{instance="web-1",job="node"}') == 0xDD272FA298259A12


def test_shortened_hashes_clash() -> None:
    ids = {series_id(f'up{{instance="{n}"}}', key_bits=4) for n in range(200)}
    assert len(ids) == 16
    assert len({series_id(f'up{{instance="{n}"}}') for n in range(200)}) == 200
