"""What holds for every task: the protocol, and masks that come back as they were, on the device too."""

import inspect
import pickle
import subprocess
import sys
from typing import get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seglib import tasks
from seglib.tasks.task import Task, is_mask_dtype, signed, stored


def on_device(masks: np.ndarray) -> torch.Tensor:
    """Masks as a feed brings them to a device."""
    return torch.from_numpy(signed(masks))


@pytest.mark.parametrize("name", tasks.NAMES)
def test_a_task_has_every_part_of_the_protocol(name: str):
    task = tasks.get(name)
    assert task.name == name and tasks.get(name) is task
    for attribute, kind in get_type_hints(Task).items():
        assert type(getattr(task, attribute)) is kind, attribute
    methods = {method: function for method, function in vars(Task).items()
               if inspect.isfunction(function) and not method.startswith("_")}
    assert len(methods) > 10
    for method, function in methods.items():
        assert inspect.signature(getattr(type(task), method)) == inspect.signature(function), method


@pytest.mark.parametrize("name", tasks.NAMES)
def test_a_task_is_frozen_and_travels_between_processes(name: str):
    task = tasks.get(name)
    assert pickle.loads(pickle.dumps(task)) == task
    assert [other for other in tasks.NAMES if tasks.get(other) == task] == [name]
    with pytest.raises(AttributeError):
        task.max_classes = 1000


@pytest.mark.parametrize(("name", "said"), [("multiclas", "did you mean 'multiclass'"), ("", "known: multilabel"),
                                            ("task", "known: multilabel, multiclass")])
def test_a_task_that_nobody_knows_is_an_error(name: str, said: str):
    with pytest.raises(ValueError, match=f"there is no task {name!r}, {said}"):
        tasks.get(name)


def test_masks_are_packed_without_torch_and_without_the_other_tasks():
    """The processes that prepare pictures would otherwise start slowly."""
    code = ("import sys, numpy as np\nfrom seglib import tasks\n"
            "task = tasks.get('multilabel')\n"
            "task.ignored(task.pack(task.unpack(np.ones((1, 2), np.uint8), 2)))\n"
            "assert not {'torch', 'pandas', 'seglib.tasks.multiclass'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", tasks.NAMES)
def test_too_many_classes_are_refused(name: str):
    task = tasks.get(name)
    most = task.max_classes
    assert is_mask_dtype(task.mask_dtype(most))
    with pytest.raises(ValueError, match=f"{most + 1} classes do not fit a {name} mask; at most {most} do"):
        task.mask_dtype(most + 1)
    with pytest.raises(ValueError, match="do not fit"):
        task.pack(np.zeros((most + 1, 2, 2), bool))


@pytest.mark.parametrize("name", tasks.NAMES)
@pytest.mark.parametrize("ignores", [None, True, False])
@given(data=st.data())
def test_a_device_finds_the_planes_and_what_counts(name: str, ignores: bool | None, data: st.DataObject):
    """Every number of classes, and so every width of a mask; each pixel has at most one class."""
    task = tasks.get(name)
    classes = data.draw(st.integers(1, 150) | st.just(task.max_classes))
    random = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    ignored = random.random((3, 4, 5)) < (0 if ignores is False else 0.3)
    numbers = np.where(ignored, -1, random.integers(0, classes, (3, 4, 5)))
    planes = numbers[:, None] == np.arange(classes).reshape(-1, 1, 1)
    masks = np.stack([task.pack(*one) for one in zip(planes, ignored, strict=True)])
    assert masks.dtype == task.mask_dtype(classes)
    np.testing.assert_array_equal(task.unpack(masks, classes), planes)
    np.testing.assert_array_equal(task.ignored(masks), ignored)
    words = on_device(masks).numpy().reshape(3, 4, 5, -1)
    assert ((words < 0) == ignored[..., None]).all()
    assert (stored(on_device(masks).numpy(), masks.dtype) == masks).all()
    assert (masks[:, ::-1, ::-1] == stored(signed(masks[:, ::-1, ::-1]), masks.dtype)).all()

    found, valid = task.targets(on_device(masks), classes, ignores=ignores)
    np.testing.assert_array_equal(found.numpy(), planes)
    if ignores is False or (ignores is None and not ignored.any()):
        assert valid is None
    else:
        np.testing.assert_array_equal(valid.numpy(), ~ignored[:, None])


@pytest.mark.parametrize("name", tasks.NAMES)
@pytest.mark.parametrize("classes", [1, 7, 8, 15, 16, 31, 32, 62, 63, 127, 128, 1000])
def test_the_ignore_value_is_what_packing_writes(name: str, classes: int):
    task = tasks.get(name)
    masks = on_device(task.pack(np.zeros((classes, 1, 1), bool), np.ones((1, 1), bool)))
    assert set(masks.flatten().tolist()) == {task.ignore_value(masks.dtype)}


@pytest.mark.parametrize("name", tasks.NAMES)
def test_certainty_is_the_logit_of_the_probability(name: str):
    task, logits = tasks.get(name), torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    probabilities = task.probabilities(logits)
    assert ((probabilities > 0) & (probabilities < 1)).all()
    torch.testing.assert_close(task.certainty(logits), torch.logit(probabilities))
    if task.exclusive and not task.has_background:
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 4, 5))


@pytest.mark.parametrize("name", tasks.NAMES)
def test_pixels_a_network_is_sure_of_are_still_told_apart(name: str):
    """Their probabilities are all 1 in float32."""
    logits = torch.tensor([[40.0, 50.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    assert (tasks.get(name).probabilities(logits)[0, 0] == 1).all()
    assert tasks.get(name).certainty(logits)[0, 0, 0].diff().item() == pytest.approx(10)


@pytest.mark.parametrize("name", tasks.NAMES)
def test_presence_takes_any_axes_before_the_classes(name: str):
    task, shares = tasks.get(name), torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    for found, share in zip(task.present(shares), shares, strict=True):
        assert torch.equal(found, task.present(share))
