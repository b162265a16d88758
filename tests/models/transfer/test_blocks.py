from __future__ import annotations

import hashlib
import random
import threading

import pytest

from models.errors import StoppedError
from models.stopping import never
from models.transfer.blocks import Block, BlockMap, block_digest_hex
from models.transfer.patience import Layout

LAYOUT = Layout(block_bytes=100, flush_bytes=50, window_blocks=3)


def filled(blocks: BlockMap, block: Block, size_bytes: int, byte: bytes = b"x") -> bool:
    return blocks.wrote(block, byte * size_bytes)


def test_blocks_cover_a_file_once():
    blocks = BlockMap(1050, LAYOUT)
    assert [block.first for block in blocks.all] == list(range(0, 1050, 100))
    assert blocks.all[-1].size_bytes == 50
    assert sum(block.size_bytes for block in blocks.all) == 1050
    assert BlockMap(0, LAYOUT).is_complete


def test_blocks_are_handed_out_in_order_and_not_far_ahead():
    blocks = BlockMap(1000, LAYOUT)
    taken = [blocks.take() for _ in range(4)]
    assert [block.index if block else None for block in taken] == [0, 1, 2, None]
    second, first = taken[1], taken[0]
    assert first is not None
    assert second is not None
    # The window follows the first one that is missing.
    filled(blocks, second, 100)
    blocks.give_back(second)
    assert blocks.take() is None
    filled(blocks, first, 100)
    blocks.give_back(first)
    following = [blocks.take(), blocks.take()]
    assert [block.index if block else None for block in following] == [3, 4]


def test_one_at_a_time_when_wanted():
    blocks = BlockMap(1000, LAYOUT)
    block = blocks.take(only_one=True)
    assert block is not None
    assert blocks.take(only_one=True) is None
    blocks.give_back(block)
    assert blocks.take(only_one=True) is block


def test_the_digest_of_a_block_is_of_what_came():
    blocks = BlockMap(150, LAYOUT)
    block = blocks.take()
    assert block is not None
    filled(blocks, block, 60, b"a")
    assert not block.is_done
    filled(blocks, block, 40, b"b")
    assert block.digest == hashlib.sha256(b"a" * 60 + b"b" * 40).hexdigest()[:32]
    assert blocks.bytes_done == 100


def test_what_a_snapshot_tells_can_be_gone_on_with():
    blocks = BlockMap(250, LAYOUT)
    first, second = blocks.take(), blocks.take()
    assert first is not None
    assert second is not None
    filled(blocks, first, 100)
    filled(blocks, second, 30)
    snapshot, positions = blocks.snapshot()
    later = BlockMap(250, LAYOUT)
    later.restore(snapshot)
    assert later.bytes_done == 130
    assert later.unnoted_bytes == 0
    block = later.take()
    assert block is not None
    assert (block.index, block.position) == (1, 30)
    data = b"x" * 30
    assert later.resume(block, lambda digest: digest.update(data) or 30) == 0
    filled(later, block, 70)
    assert block.digest == hashlib.sha256(b"x" * 100).hexdigest()[:32]
    assert len(positions) == 2


@pytest.mark.parametrize("damage", ["other bytes", "fewer bytes"])
def test_a_beginning_that_is_not_what_was_noted_is_lost(damage: str):
    blocks = BlockMap(100, LAYOUT)
    block = blocks.take()
    assert block is not None
    filled(blocks, block, 30)
    later = BlockMap(100, LAYOUT)
    later.restore(blocks.snapshot()[0])
    again = later.take()
    assert again is not None
    data = b"y" * 30 if damage == "other bytes" else b"x" * 29
    assert later.resume(again, lambda digest: digest.update(data) or len(data)) == 30
    assert (again.position, later.bytes_done) == (0, 0)


def test_no_more_is_written_than_may_be_lost():
    blocks = BlockMap(1000, LAYOUT)
    block = blocks.take()
    assert block is not None
    assert not filled(blocks, block, 20)
    assert filled(blocks, block, 10), "noting down is due at half of the limit"
    blocks.wait_for_room(20, never)
    with pytest.raises(StoppedError):
        blocks.wait_for_room(21, lambda: True)
    other = blocks.take()
    assert other is not None
    blocks.wait_for_room(70, never)
    _, positions = blocks.snapshot()
    filled(blocks, other, 15)
    blocks.noted(positions)
    assert blocks.unnoted_bytes == 15


def test_a_piece_larger_than_the_limit_is_written_alone():
    blocks = BlockMap(1000, LAYOUT)
    assert blocks.take() is not None
    blocks.wait_for_room(90, never)


def test_who_waits_for_room_goes_on_when_it_is_noted():
    blocks = BlockMap(1000, LAYOUT)
    block = blocks.take()
    assert block is not None
    filled(blocks, block, 50)
    thread = threading.Thread(target=lambda: blocks.wait_for_room(10, never))
    thread.start()
    blocks.noted(blocks.snapshot()[1])
    thread.join(10)
    assert not thread.is_alive()


def test_blocks_that_are_lost_are_fetched_again():
    blocks = BlockMap(250, LAYOUT)
    while (block := blocks.take()) is not None:
        filled(blocks, block, block.size_bytes)
        blocks.give_back(block)
    assert blocks.is_complete
    blocks.noted(blocks.snapshot()[1])
    assert blocks.lose([0, 2]) == 150
    assert not blocks.is_complete
    assert blocks.bytes_done == 100
    again = blocks.take()
    assert again is not None
    assert again.index == 0


def test_counts_stay_right_whatever_happens():
    chance = random.Random(4)
    blocks = BlockMap(997, LAYOUT)
    held: list[Block] = []
    for _ in range(3000):
        step = chance.randrange(6)
        if step == 0 and (block := blocks.take()) is not None:
            held.append(block)
        elif step == 1 and held:
            block = chance.choice(held)
            left = block.size_bytes - block.position
            if left:
                filled(blocks, block, chance.randint(1, left))
        elif step == 2 and held:
            blocks.give_back(held.pop(chance.randrange(len(held))))
        elif step == 3:
            blocks.noted(blocks.snapshot()[1])
        elif step == 4:
            _, positions = blocks.snapshot()
            if chance.random() < 0.1:
                free = [block.index for block in blocks.all if not block.is_taken]
                blocks.lose(free[:1])
            blocks.noted(positions)
        assert blocks.bytes_done == sum(block.position for block in blocks.all)
        unnoted = sum(block.position - block.noted for block in blocks.all)
        assert blocks.unnoted_bytes == unnoted
        assert blocks.is_complete == all(block.is_done for block in blocks.all)


def test_how_block_digests_are_kept():
    assert block_digest_hex(hashlib.sha256(b"a")) == hashlib.sha256(b"a").hexdigest()[:32]
