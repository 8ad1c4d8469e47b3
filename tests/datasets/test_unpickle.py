"""The restricted unpickler: what the course's files hold is read, whatever else a pickle names is refused unrun."""

import gc
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.datasets.unpickle import load_numbers


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_arrays_of_numbers_are_read(protocol: int):
    array = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    content = ({0: [[1, 2], (3.5, True, None), array, {50: [[1, 2, 3, 4]]}]}, {"disk": 150})
    loaded = load_numbers(io.BytesIO(pickle.dumps(content, protocol=protocol)))
    np.testing.assert_array_equal(loaded[0][0].pop(2), array)
    del content[0][0][2]
    assert loaded == content


def test_a_python_2_pickle_with_latin_1_text_is_read():
    # What Python 2's cPickle writes for numpy.array([[50, 200]], dtype=uint8), protocol 2: bytes as a plain string.
    text = (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01K\x02\x86"
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            b"U\x022\xc8tb.")
    np.testing.assert_array_equal(load_numbers(io.BytesIO(text)), np.array([[50, 200]], np.uint8))


class Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def attacks(target: Path) -> dict[str, bytes]:
    command = f"touch {target}"
    return {
        "os.system": pickle.dumps(Calls(os.system, command)),
        "eval": pickle.dumps(Calls(eval, f"open({str(target)!r}, 'w')")),
        "exec": pickle.dumps(Calls(exec, f"open({str(target)!r}, 'w')")),
        "open": pickle.dumps(Calls(open, str(target), "w")),
        "nested in a list": pickle.dumps([1, {"a": (2, Calls(os.system, command))}]),
        "in a dict's key": pickle.dumps({Calls(os.system, command): 1}),
        "getattr chain": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")),
        "numpy's own loader": pickle.dumps(Calls(np.load, str(target))),
        "old-style instance": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        "array of objects": pickle.dumps(np.array([Calls(os.system, command)], object)),
        "structured array": pickle.dumps(np.zeros(1, [("a", "u1")])),
        "text array": pickle.dumps(np.array(["a"])),
        "codecs": b"c_codecs\ndecode\n(S'61'\nS'hex'\ntR.",
        "bytes in another code": b"c_codecs\nencode\n(S'a'\nS'zip'\ntR.",
    }


@pytest.mark.parametrize("name", attacks(Path()))
def test_whatever_else_a_pickle_names_is_refused_before_it_runs(tmp_path: Path, name: str):
    target = tmp_path / "ran"
    with pytest.raises(ValueError, match="not a pickle of plain numbers"):
        load_numbers(io.BytesIO(attacks(target)[name]))
    assert not target.exists()


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1, 2, 3])[:-3]])
def test_damage_is_a_value_error(data: bytes):
    with pytest.raises(ValueError, match="not a pickle of plain numbers"):
        load_numbers(io.BytesIO(data))


def test_the_garbage_collector_is_as_it_was():
    assert gc.isenabled()
    load_numbers(io.BytesIO(pickle.dumps([1, 2])))
    assert gc.isenabled()
    with pytest.raises(ValueError, match="plain numbers"):
        load_numbers(io.BytesIO(b"no pickle"))
    assert gc.isenabled()
    gc.disable()
    try:
        load_numbers(io.BytesIO(pickle.dumps([1, 2])))
        assert not gc.isenabled()
    finally:
        gc.enable()
