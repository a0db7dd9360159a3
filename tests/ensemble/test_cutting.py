"""Lanes in blocks: each once, like ones together, and those that need by far the most steps by themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nmmjax.ensemble.cutting import cut, cut_apart

WIDTH, NARROW, THREADS = 128, 8, 2


def whole(batches):
    return np.sort(np.concatenate([lanes for batch in batches for lanes in batch.blocks]))


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=400), st.sampled_from([0, NARROW]), st.sampled_from([1, 4]))
def test_every_lane_is_in_one_block(steps, narrow, group):
    batches = cut(np.array(steps), WIDTH, narrow, group, THREADS)
    assert np.array_equal(whole(batches), np.arange(len(steps)))
    for batch in batches:
        assert len(batch.blocks) <= batch.group
        assert all(0 < lanes.size <= batch.width for lanes in batch.blocks)
        assert batch.filled().shape == (batch.group, batch.width)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=400), st.sampled_from([1, 4]))
def test_apart_only_lanes_of_a_class_share_a_block(classes, group):
    batches = cut_apart(np.array(classes), WIDTH, group, THREADS)
    assert np.array_equal(whole(batches), np.arange(len(classes)))
    assert all(len({classes[k] for k in lanes}) == 1 for batch in batches for lanes in batch.blocks)


def test_few_lanes_of_many_steps_go_by_themselves():
    steps = np.full(300, 500)
    steps[[17, 200]] = 20_000
    batches = cut(steps, WIDTH, NARROW, 4, THREADS)
    alone = [batch for batch in batches if batch.width == NARROW]
    assert {17, 200} <= set(whole(alone).tolist())
    assert whole(alone).size < 50


@pytest.mark.parametrize("steps", [np.full(1024, 20_000), np.linspace(500, 1000, 2048)], ids=["equal", "alike"])
def test_like_lanes_share_wide_blocks(steps):
    assert all(batch.width == WIDTH for batch in cut(steps, WIDTH, NARROW, 4, THREADS))


def test_calls_get_equal_work():
    batches = cut(np.linspace(1000, 2000, 16 * WIDTH), WIDTH, 0, 4, THREADS)
    work = [sum(np.linspace(1000, 2000, 16 * WIDTH)[lanes].max() for lanes in batch.blocks) for batch in batches]
    assert len(batches) == 4
    assert max(work) < 1.2 * min(work)
