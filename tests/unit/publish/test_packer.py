"""Fat frames: nothing lost, no partition mixed, no frame over its limits."""

from collections import Counter
from random import Random

from fleetpulse.partition import partition_of
from fleetpulse.publish.packer import Packer
from fleetpulse.wire import Block, make_block, samples_in


def block(host: str, samples: int, key_length: int = 10) -> Block:
    keys = "\n".join("k" * key_length for _ in range(samples)).encode()
    return make_block(host, {}, keys, 0, [0.0] * samples)


def test_every_block_leaves_once_in_frames_of_one_partition() -> None:
    random, packer = Random(7), Packer(12, max_samples=500)
    blocks = [block(f"host-{n % 300}", random.randrange(1, 200)) for n in range(2000)]
    frames = [frame for one in blocks if (frame := packer.add(one))] + packer.drain()
    assert Counter(id(one) for frame in frames for one in frame) == Counter(map(id, blocks))
    for frame in frames:
        assert len({partition_of(one.host, 12) for one in frame}) == 1
        assert sum(map(samples_in, frame)) <= 500
    assert packer.drain() == []


def test_a_hosts_blocks_keep_their_order() -> None:
    packer = Packer(3, max_samples=100)
    blocks = [block("web-1", 30) for _ in range(50)]
    frames = [frame for one in blocks if (frame := packer.add(one))] + packer.drain()
    assert [id(one) for frame in frames for one in frame] == list(map(id, blocks))


def test_a_block_over_the_limit_is_a_frame_of_its_own() -> None:
    packer = Packer(1, max_samples=100)
    small, large = block("a", 10), block("b", 1000)
    assert packer.add(small) is None
    assert packer.add(large) == [small]
    assert packer.drain() == [[large]]


def test_long_keys_close_a_frame_by_its_size() -> None:
    packer = Packer(1, max_samples=10_000, max_bytes=10_000)
    first = block("a", 50, key_length=100)
    assert packer.add(first) is None
    assert packer.add(block("b", 50, key_length=100)) == [first]
