"""Sums over many windows, made of blocks."""

import json

import pytest

from models.blocks import Blocks


def test_sums_at_the_end_of_blocks_are_those_of_the_windows() -> None:
    blocks, items, n_fine, n_coarse = Blocks(3, 6, n_fine=2, n_coarse=3), [], 0, 0
    for i in range(60):
        item = (float(i), 1.0, float(i * i))
        items.append(item)
        if blocks.is_fine_end:
            fine = blocks.fine_sum(2, item)
            if i >= 6:
                n_fine += 1
                assert fine == tuple(sum(column) for column in zip(*items[-6:], strict=True))
        if blocks.is_coarse_end:
            coarse = blocks.coarse_sum(3, item)
            if i >= 18:
                n_coarse += 1
                assert coarse == tuple(sum(column) for column in zip(*items[-18:], strict=True))
        blocks.push(item)

    assert (n_fine, n_coarse) == (18, 7)


def test_there_is_no_sum_before_enough_blocks_are_full() -> None:
    blocks = Blocks(2, 4, n_fine=3, n_coarse=2)
    for _ in range(3):
        blocks.push((1.0, 1.0, 1.0))

    assert blocks.fine_sum(3, (1.0, 1.0, 1.0)) is None
    assert blocks.fine_sum(2, (1.0, 1.0, 1.0)) == (4.0, 4.0, 4.0)
    assert blocks.coarse_sum(2, (1.0, 1.0, 1.0)) is None


def test_restored_blocks_go_on_alike() -> None:
    blocks = Blocks(2, 4, n_fine=3, n_coarse=2)
    for i in range(11):
        blocks.push((float(i), 1.0, 0.5))

    again = Blocks(2, 4, n_fine=3, n_coarse=2).from_state(json.loads(json.dumps(blocks.to_state())))

    assert again.is_fine_end
    assert again.coarse_sum(2, (1.0, 1.0, 1.0)) == blocks.coarse_sum(2, (1.0, 1.0, 1.0))
    assert again.to_state() == blocks.to_state()


def test_a_coarse_block_holds_whole_fine_ones() -> None:
    with pytest.raises(ValueError, match="multiple"):
        Blocks(6, 20, n_fine=1, n_coarse=1)
