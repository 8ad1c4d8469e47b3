"""Batches: the pictures that were asked for, wherever they lie."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks
from seglib.datasets.store import Split
from seglib.training.batches import Feed, batch_sizes
from seglib.training.inputs import Inputs
from seglib.training.throughput import Throughput

CPU = torch.device("cpu")


def split_of(pictures: int, *, ignored: int = 0) -> Split:
    """Made-up pictures, in the last `ignored` of which some pixels are not to count."""
    random = np.random.default_rng(pictures)
    planes_NKHW = random.random((pictures, 3, 6, 5)) < 0.5
    ignore_NHW = (random.random((pictures, 6, 5)) < 0.5) & (np.arange(pictures) >= pictures - ignored)[:, None, None]
    masks = np.stack([tasks.get("multilabel").pack(*of) for of in zip(planes_NKHW, ignore_NHW, strict=True)])
    return Split(random.integers(0, 256, (pictures, 6, 5, 3), np.uint8), masks, Path())


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("order", [[4, 0, 6, 1, 3], None])
def test_batches_hold_the_pictures_in_order(resident: bool, order: list | None):
    split = split_of(7)
    feed = Feed(split, 2, CPU, resident=resident)
    batches = list(feed.batches(None if order is None else np.array(order)))
    wanted = np.arange(7) if order is None else np.array(order)
    assert [len(batch.images_BHWC) for batch in batches][:-1] == [2] * (len(batches) - 1)
    np.testing.assert_array_equal(torch.cat([b.images_BHWC for b in batches]), split.images[wanted])
    np.testing.assert_array_equal(torch.cat([b.masks_BHW for b in batches]), split.masks[wanted].view(np.int8))
    assert (len(feed), feed.steps) == (7, 4)


def test_a_shorter_epoch_shows_the_first_pictures_of_its_order():
    whole, short = Feed(split_of(7), 2, CPU, learns=True), Feed(split_of(7), 2, CPU, learns=True, pictures=4)
    assert (len(short), short.steps) == (4, 2)
    for epoch in (1, 2):
        np.testing.assert_array_equal(short.order(seed=3, epoch=epoch), whole.order(seed=3, epoch=epoch)[:4])
    assert sorted(whole.order(seed=3, epoch=1)) == list(range(7))
    assert len(Feed(split_of(7), 2, CPU, pictures=100)) == 7


@pytest.mark.parametrize(("ignored", "expected"), [(0, False), (1, True)])
def test_a_feed_knows_whether_anything_is_ignored(ignored: int, expected: bool):
    """The answer covers all pictures. The first batches of the split hold no pixel to ignore."""
    assert [batch.ignores for batch in Feed(split_of(5, ignored=ignored), 2, CPU).batches()] == [expected] * 3


def test_a_large_split_goes_to_the_device_in_pieces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("seglib.training.batches.UPLOAD", 200)  # bytes: two pictures
    split = split_of(7)
    batch, = Feed(split, 7, CPU, resident=True).batches()
    np.testing.assert_array_equal(batch.images_BHWC, split.images)


@given(st.integers(1, 200), st.integers(1, 20))
def test_a_last_batch_of_one_picture_joins_the_batch_before(images: int, batch_size: int):
    """Only if a network learns from it, and only then."""
    plain = [len(part) for part in np.split(np.zeros(images), range(batch_size, images, batch_size))]
    assert batch_sizes(images, batch_size, learns=False) == plain
    merged = batch_sizes(images, batch_size, learns=True)
    assert sum(merged) == images
    if batch_size > 1 and plain[-1] == 1 and len(plain) > 1:
        assert merged == [*plain[:-2], batch_size + 1]
    else:
        assert merged == plain


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("first", [0, 2, 3])
def test_steps_read_the_batches_of_a_pass(resident: bool, first: int, learns: bool):
    """From any batch on, as a resumed epoch does: those of `Feed.batches`."""
    order, position = np.array([4, 0, 6, 1, 3, 2, 5]), torch.tensor([first])
    feed = Feed(split_of(7), 2, CPU, resident=resident, learns=learns)
    assert feed.sizes == ([2, 2, 3] if learns else [2, 2, 2, 1])
    inputs, expected = Inputs(feed), list(feed.batches(order))[first:]
    inputs.start(order, first=first)
    for batch in expected:
        size = inputs.advance()
        found = inputs.batch(size, position)
        assert size == len(batch.images_BHWC)
        assert torch.equal(found.images_BHWC, batch.images_BHWC) and torch.equal(found.masks_BHW, batch.masks_BHW)
        position += 1
    with pytest.raises(StopIteration):
        inputs.advance()


def test_what_a_batch_costs_is_told_apart(monkeypatch: pytest.MonkeyPatch):
    """A clock that is read, not waited for: a batch takes 2 s to come and 3 s to learn from."""
    now = [0.0]
    monkeypatch.setattr("seglib.training.throughput.time.perf_counter", lambda: now[0])

    class Slow(np.ndarray):
        def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
            now[0] += 1
            return np.asarray(self)[chosen]

    feed, throughput = Feed(split_of(6), 2, CPU), Throughput()
    vars(feed)["arrays"] = [array.view(Slow) for array in feed.arrays]  # pictures and masks, a second each
    inputs = Inputs(feed)
    throughput.start()
    inputs.start(np.arange(6))
    for _ in range(feed.steps):
        inputs.advance()
        now[0] += 3
    throughput.stop(6, waited=inputs.waited)
    assert (throughput.speed.images_per_second, throughput.speed.waiting) == (6 / 15, 6 / 15)
    assert str(throughput.speed) == "0 images/s, 40% of the time waiting for data"
