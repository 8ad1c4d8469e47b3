"""Reading a downloaded pickle without running what it says: plain containers and NumPy arrays of numbers, no more.

The standard library's unpickler in Python, cut down to the opcodes that such content needs. Nothing bounds the one in
C: seven bytes (LONG_BINPUT) make it fill 64 GB, and a dict's key of tuples within tuples ends the process. What makes
up for Python's pace is that a run of small numbers, of which pictures consist, is one step.
"""

import contextlib
import gc
import io
import math
import pickle
import pickletools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from seglib.names import brief

OBJECT = 128  # bytes that one opcode may take in memory, at most: an empty dict and its place
WIDEST = 4  # bytes of memory that a byte of text may take
LONGEST_LINE = 1 << 24  # bytes of a text opcode's argument
MOST_SIDES = 64  # of an array, as NumPy has it
RUN = 1 << 11  # bytes looked ahead for small numbers; pickle writes a list by 1,000 of them
BUFFER = 1 << 14

_NUMPY_ROOTS = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
# By the names that arrays are pickled with ("u1") and that constructors take ("uint8").
_NUMBERS = {name: dtype.newbyteorder("<") for kind in "?bhilqBHILQefd" if (dtype := np.dtype(kind))
            for name in (dtype.str[1:], dtype.name)}
_OPCODES = """PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4
    FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES
    SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT
    DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD"""


class _Metered:
    """A stream that ends, with an error, where its content may take more than `most` bytes of memory."""

    def __init__(self, file: io.BufferedReader, most: int):
        self._file, self._left, self._most = file, most, most

    def charge(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise pickle.UnpicklingError(f"it may take more than {self._most / 1e6:.0f} MB of memory")

    def read(self, size: int) -> bytes:
        self.charge(OBJECT + WIDEST * size)  # before anything is read or made room for
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError("it ends too early")
        return data

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        self.charge(OBJECT + WIDEST * len(line))
        if not line.endswith(b"\n"):
            raise EOFError("a line without an end")
        return line

    def small_numbers(self) -> bytes:
        """The argument of the BININT1 just read, and of those that follow at once, as far as the buffer holds them."""
        ahead = self._file.peek(1)[:RUN]
        opcodes = ahead[1::2]
        following = len(opcodes) - len(opcodes.lstrip(pickle.BININT1))
        numbers = ahead[: 2 * following + 1 : 2]
        if not numbers:
            raise EOFError("it ends too early")
        self._file.read(2 * len(numbers) - 1)
        self.charge(8 * len(numbers))  # they are Python's own: only their places are new
        return numbers


class _Type:
    """What a pickled dtype becomes: no np.dtype, which all arrays share and whose state a pickle might set."""

    def __init__(self, name: Any, *_: Any):
        if not isinstance(name, str) or name not in _NUMBERS:
            raise pickle.UnpicklingError(f"arrays of {brief(name)} are not admitted, only of numbers")
        self.dtype = _NUMBERS[name]


def _array(shape: Any, dtype: Any, buffer: Any) -> np.ndarray:
    return _from_buffer(buffer, dtype, shape, "C")


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """NumPy's own pickles of protocol 5."""
    dtype = dtype.dtype if type(dtype) is _Type else _Type(dtype).dtype
    _check_size(shape, dtype, buffer)
    return np.frombuffer(buffer, dtype).reshape(shape, order=order)


def _reconstruct(*_: Any) -> np.ndarray:
    """The empty array NumPy's own pickles start from; its shape, type and bytes follow as its state."""
    return np.ndarray((0,), np.uint8)


def _check_size(shape: Any, dtype: np.dtype, data: Any) -> None:
    if type(data) not in (bytes, bytearray, str):  # str: Python 2's bytes
        raise pickle.UnpicklingError(f"an array's content is {type(data).__name__}, expected bytes")
    # What is multiplied is bounded: the memo may give a number of any size any number of times.
    if not (type(shape) is tuple and len(shape) <= MOST_SIDES
            and all(type(side) is int and 0 <= side < 1 << 63 for side in shape)):
        raise pickle.UnpicklingError("an array's shape is none that it can have")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f"an array of shape {brief(shape)} has {len(data)} bytes")


def _set_type(value: _Type, state: Any) -> None:
    """Only the byte order may be told: anything else makes it a type that is not of numbers."""
    order = state[1] if type(state) is tuple and len(state) == 8 else None
    if order == ">":
        raise pickle.UnpicklingError("an array's bytes are big-endian; store it as little-endian")
    if order not in ("<", "|") or state != (3, order, None, None, None, -1, -1, 0):
        raise pickle.UnpicklingError("a dtype with a state of its own is not admitted")


def _set_array(array: np.ndarray, state: Any) -> None:
    if type(state) is not tuple or len(state) != 5 or type(state[2]) is not _Type:
        raise pickle.UnpicklingError("an array's state is not as NumPy writes it")
    _, shape, kind, is_fortran, data = state
    _check_size(shape, kind.dtype, data)
    array.__setstate__((1, shape, kind.dtype, is_fortran is True or is_fortran == 1, data))


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes this way in protocols 0 to 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {brief(encoding)} are not admitted")
    return text.encode("latin1")


_ADMITTED = {
    **{(root, name): value for root in _NUMPY_ROOTS
       for name, value in (("_reconstruct", _reconstruct), ("ndarray", _array), ("dtype", _Type))},
    **{(root, "_frombuffer"): _from_buffer for root in ("numpy.core.numeric", "numpy._core.numeric")},
    ("_codecs", "encode"): _latin1_bytes,
}


class _Opcodes(dict):
    def __missing__(self, code: int) -> Any:
        known = pickletools.code2op.get(chr(code))
        raise pickle.UnpicklingError(f"opcode {known.name if known else hex(code)} is not admitted")


class _NumbersUnpickler(pickle._Unpickler):
    """Overridden is what could run, alter or outgrow something."""

    def __init__(self, meter: _Metered):
        super().__init__(meter, encoding="latin1")
        self._meter = meter

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module:.60}.{name:.60} is not admitted") from None

    def load_frame(self) -> None:
        self.read(8)  # how many bytes follow together: nothing that the stream's end would not tell

    def load_binint1(self) -> None:
        self.stack.extend(self._meter.small_numbers())

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list) -> None:
        if type(self.stack[-1]) is not list:
            raise pickle.UnpicklingError("what is appended to is no list")
        self.stack[-1].extend(items)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._update(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def load_setitems(self) -> None:
        self._update(self.pop_mark())

    def _update(self, items: Sequence[Any]) -> None:
        if type(self.stack[-1]) is not dict:
            raise pickle.UnpicklingError("what items are set in is no dict")
        keys = items[::2]
        # Tuples are hashed without a limit to their depth, and there are as many numbers of one hash as one likes.
        if not all(type(key) is str or type(key) is int and key.bit_length() <= 64 for key in keys):
            raise pickle.UnpicklingError("a dict's key is neither text nor a number of 64 bits")
        self.stack[-1].update(zip(keys, items[1::2], strict=True))

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        if type(arguments) is not tuple or not callable(self.stack[-1]):  # what can be called here was admitted
            raise pickle.UnpicklingError("what is called is no function")
        self._charge_again(arguments)
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is _Type:
            _set_type(value, state)
        elif type(value) is np.ndarray:
            self._charge_again(state)
            _set_array(value, state)
        else:
            raise pickle.UnpicklingError(f"a state for {type(value).__name__} is not admitted")

    def _charge_again(self, values: Sequence[Any]) -> None:
        """For what is made of text and bytes that the memo may give any number of times."""
        self._meter.charge(sum(len(value) for value in values if isinstance(value, str | bytes | bytearray)))

    dispatch = _Opcodes({code: pickle._Unpickler.dispatch[code]
                         for code in (getattr(pickle, name)[0] for name in _OPCODES.split())})
    dispatch |= {getattr(pickle, name.removeprefix("load_").upper())[0]: method
                 for name, method in list(locals().items()) if name.startswith("load_")}


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """While millions of numbers are read, none of which is garbage, the collector looks through them all, again and
    again: a third of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def load_numbers(file: BinaryIO, *, most_memory: int) -> Any:
    """The content of a pickle of dicts, lists, tuples, strings, numbers and NumPy arrays of numbers.

    Files pickled by Python 2 are read too (text as latin-1). Raises ValueError for one that names any other class or
    function, which is not run, for one whose content may take more than `most_memory` bytes, and for a damaged one.
    """
    buffered = io.BufferedReader(file, BUFFER)
    try:
        with _without_collector():
            return _NumbersUnpickler(_Metered(buffered, most_memory)).load()
    except Exception as error:  # a damaged pickle may raise nearly anything; none of it is ours
        raise ValueError(f"not a pickle of plain numbers: {' '.join(str(error).split()):.200}") from error
    finally:
        buffered.detach()  # the file stays open, as it came
