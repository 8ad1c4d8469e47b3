"""Reading a downloaded pickle without running what it says: plain containers and NumPy arrays of numbers, no more."""

import contextlib
import gc
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

_NUMPY_ROOTS = {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"}


def _number_dtype(name: Any, *_: Any) -> np.dtype:
    """np.dtype for numbers and booleans; object, structured and text types are refused."""
    if not isinstance(name, str | np.dtype) or (dtype := np.dtype(name)).kind not in "biuf":
        raise pickle.UnpicklingError(f"arrays of {name!r} are not admitted, only of numbers")
    return dtype


def _array(shape: Any, dtype: Any, buffer: bytes) -> np.ndarray:
    return np.frombuffer(buffer, _number_dtype(dtype)).reshape(shape)


def _from_buffer(buffer: bytes, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """NumPy's own pickles of protocol 5."""
    return np.frombuffer(buffer, _number_dtype(dtype)).reshape(shape, order=order)


def _reconstruct(*_: Any) -> np.ndarray:
    """The empty array NumPy's own pickles start from; its shape, type and bytes follow as its state."""
    return np.ndarray((0,), np.uint8)


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes this way in protocols 0 to 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r} are not admitted")
    return text.encode("latin1")


_ADMITTED = {
    **{(root, name): value for root in _NUMPY_ROOTS
       for name, value in (("_reconstruct", _reconstruct), ("ndarray", _array), ("dtype", _number_dtype))},
    **{(root, "_frombuffer"): _from_buffer for root in ("numpy.core.numeric", "numpy._core.numeric")},
    ("_codecs", "encode"): _latin1_bytes,
}


class _NumbersUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted") from None


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """While millions of numbers are read, none of which is garbage, the collector looks through them all, again and
    again: 1.7 s of the 4.4 s that the course's 10,000 pictures take.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_numbers(file: BinaryIO) -> Any:
    """The content of a pickle of dicts, lists, tuples, strings, numbers and NumPy arrays of numbers.

    Files pickled by Python 2 are read too (text as latin-1). Raises ValueError for one that names any other class or
    function, which is not run, and for a damaged one.
    """
    try:
        with _without_collector():
            return _NumbersUnpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise nearly anything; none of it is ours
        raise ValueError(f"not a pickle of plain numbers: {error}") from error
