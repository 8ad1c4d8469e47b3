"""The restricted unpickler: what the course's files hold is read, whatever else a pickle names is refused unrun."""

import copyreg
import gc
import gzip
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglib.datasets.unpickle import load_numbers
from tests.conftest import ROOT

MEMORY = 1 << 24


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_arrays_of_numbers_are_read(protocol: int):
    array = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    content = ({0: [[1, 2], (3.5, True, None), array, {50: [[1, 2, 3, 4]]}]}, {"disk": 150})
    loaded = load_numbers(io.BytesIO(pickle.dumps(content, protocol=protocol)), most_memory=MEMORY)
    np.testing.assert_array_equal(loaded[0][0].pop(2), array)
    del content[0][0][2]
    assert loaded == content


def test_a_python_2_pickle_with_latin_1_text_is_read():
    # What Python 2's cPickle writes for numpy.array([[50, 200]], dtype=uint8), protocol 2: bytes as a plain string.
    text = (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01K\x02\x86"
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
            b"U\x022\xc8tb.")
    np.testing.assert_array_equal(load_numbers(io.BytesIO(text), most_memory=MEMORY), np.array([[50, 200]], np.uint8))


class Calls:
    def __init__(self, function: Callable[..., Any], *arguments: Any):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def array_pickle(*, dtype: bytes = b"", name: str = "u2", shape: tuple[Any, ...] = (2,), data: bytes = b"abcd",
                 order: str = "<") -> bytes:
    """What NumPy writes for an array, with any part of it changed. dtype: opcodes in place of its type's."""
    state = pickle.dumps((3, order, None, None, None, -1, -1, 0), 2)[2:-1]
    dtype = dtype or b"cnumpy\ndtype\n" + text(name) + b"\x89\x88\x87R" + state + b"b"
    parts = [pickle.dumps(part, 3)[2:-1] for part in (1, shape, False, data)]
    return (b"\x80\x03cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R("
            + parts[0] + parts[1] + dtype + parts[2] + parts[3] + b"tb.")


def attacks(target: Path) -> dict[str, bytes]:
    """Each would make `target`, were it run, or alter what others use."""
    command = f"touch {target}"
    return {
        "os.system": pickle.dumps(Calls(os.system, command)),
        "eval": pickle.dumps(Calls(eval, f"open({str(target)!r}, 'w')")),
        "exec": pickle.dumps(Calls(exec, f"open({str(target)!r}, 'w')")),
        "open": pickle.dumps(Calls(open, str(target), "w")),
        "subprocess": pickle.dumps(Calls(subprocess.run, ["touch", str(target)])),
        "Python 2's names": b"c__builtin__\neval\n(" + text(f"open({str(target)!r}, 'w')") + b"tR.",
        "nested in a list": pickle.dumps([1, {"a": (2, Calls(os.system, command))}]),
        "in a dict's key": pickle.dumps({Calls(os.system, command): 1}),
        "getattr chain": pickle.dumps(Calls(getattr, Calls(__import__, "os"), "system")),
        "a chain of reduces": pickle.dumps([Calls(list, Calls(map, os.system, [command]))]),
        "numpy's own loader": pickle.dumps(Calls(np.load, str(target))),
        "numpy's way to any function": b"cnumpy\nf2py.compile\n(" + text(command) + b"tR.",
        "STACK_GLOBAL": b"\x80\x04" + text("posix") + text("system") + b"\x93" + text(command) + b"\x85R.",
        "INST": b"(" + text(command) + b"iposix\nsystem\n.",
        "OBJ": b"(cnumpy\ndtype\n" + text("u1") + b"o.",
        "NEWOBJ": b"\x80\x02cnumpy\ndtype\n" + text("u1") + b"\x85\x81.",
        "NEWOBJ_EX": b"\x80\x04cnumpy\ndtype\n" + text("u1") + b"\x85}\x92.",
        "copyreg": b"ccopyreg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        "a persistent id": b"Pname\n.",
        "a binary persistent id": text(command) + b"Q.",
        "an extension's code": b"\x80\x02\x82\xf0" + text(command) + b"\x85R.",
        "a set": pickle.dumps({1, 2}),
        "a buffer from outside": b"\x80\x05\x97.",
        "a call of no function": text("system") + text(command) + b"\x85R.",
        "arguments that are no tuple": b"cnumpy\ndtype\n" + text("u1") + b"R.",
        "a state for a function": b"cnumpy\nndarray\nN}" + text("__defaults__") + text(command) + b"\x85s\x86b.",
        "a state for a list": b"]}" + text("append") + b"Nsb.",
        "a list that is an array": array_pickle()[:-1] + b"K\x01a.",
        "a dict that is an array": array_pickle()[:-1] + b"K\x00]s.",
        "a dict that is a list": b"]K\x00K\x01s.",
        "array of objects": pickle.dumps(np.array([Calls(os.system, command)], object)),
        "array of objects, by its name": array_pickle(name="O8", data=b"\0" * 16),
        "structured array": pickle.dumps(np.zeros(1, [("a", "u1")])),
        "structured by its state": b"cnumpy\ndtype\n" + text("u2") + b"\x89\x88\x87R(K\x03" + text("|") + b"N"
        + text("a") + b"\x85}" + text("a") + b"cnumpy\ndtype\n" + text("u1") + b"\x85RK\x00\x86sK\x10K\x01K\x10tb.",
        "text array": pickle.dumps(np.array(["a"])),
        "array of dates": pickle.dumps(np.array(["2020-01-01"], "datetime64[D]")),
        "array over an array's bytes": b"cnumpy\nndarray\nK\x01\x85" + text("u1") + array_pickle()[2:-1] + b"\x87R.",
        "array in an array": array_pickle(shape=(np.zeros(1),)),
        "codecs": b"c_codecs\ndecode\n(S'61'\nS'hex'\ntR.",
        "bytes in another code": b"c_codecs\nencode\n(S'a'\nS'zip'\ntR.",
        "a list as a key": b"}]K\x01s.",
        "a tuple as a key": b"})K\x01s.",
        "a key without a value": b"}(K\x01u.",
    }


@pytest.mark.parametrize("name", attacks(Path()))
def test_whatever_else_a_pickle_names_is_refused_before_it_runs(tmp_path: Path, name: str):
    target = tmp_path / "ran"
    with pytest.raises(ValueError, match="not a pickle of plain numbers"):
        load_numbers(io.BytesIO(attacks(target)[name]), most_memory=MEMORY)
    assert not target.exists()


def test_an_extension_that_is_registered_is_refused_as_well(tmp_path: Path):
    target = tmp_path / "ran"
    copyreg.add_extension("posix", "system", 0xF1)
    try:
        with pytest.raises(ValueError, match="opcode EXT1 is not admitted"):
            load_numbers(io.BytesIO(b"\x80\x02\x82\xf1" + text(f"touch {target}") + b"\x85R."), most_memory=MEMORY)
    finally:
        copyreg.remove_extension("posix", "system", 0xF1)
    assert not target.exists()


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f8"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_big_endian_numbers_are_refused_and_not_misread(dtype: str, protocol: int):
    little = np.arange(6).astype(dtype.replace(">", "<"))
    data = pickle.dumps([little, little.astype(dtype)], protocol=protocol)
    with pytest.raises(ValueError, match="big-endian; store it as little-endian"):
        load_numbers(io.BytesIO(data), most_memory=MEMORY)
    assert np.dtype("u2").isnative and np.dtype("u2") == np.uint16
    loaded = load_numbers(io.BytesIO(pickle.dumps([little], protocol=protocol)), most_memory=MEMORY)[0]
    np.testing.assert_array_equal(loaded, np.arange(6))


@pytest.mark.parametrize("kind", "?bhilqBHILQefd")
def test_every_kind_of_number_is_read_in_any_layout(kind: str):
    array = np.asfortranarray(np.arange(24).reshape(2, 3, 4).astype(kind))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = load_numbers(io.BytesIO(pickle.dumps(array, protocol=protocol)), most_memory=MEMORY)
        assert loaded.dtype == array.dtype and loaded.dtype.isnative
        np.testing.assert_array_equal(loaded, array)


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 1025, 5000, 40000])
def test_runs_of_small_numbers_of_any_length_are_read_whole(n: int):
    drawn = random.Random(n)
    values = [drawn.choice([*range(256), ord("K"), ord("K"), 1000, -1, "K", None]) for _ in range(n)]
    bytes_alone = [drawn.choice([0, 75, 255]) for _ in range(n)]
    for content in (values, bytes_alone):
        loaded = load_numbers(io.BytesIO(pickle.dumps((content, 75, tuple(content)))), most_memory=MEMORY)
        assert loaded == (content, 75, tuple(content))


# Lists of the one before, twice, remembered: printed, the last has 2^26 parts.
LAUGHS = b"N" + b"".join(b"q%c0](h%ch%ce" % (k, k, k) for k in range(26))
# What would fill the memory, hang or end the process, were it done. Names to code that makes the pickle.
BOMBS = {
    "laughs for an array's type": b"cnumpy\ndtype\n" + LAUGHS + b"\x85R.",
    "laughs for an encoding": b"c_codecs\nencode\n" + text("a") + LAUGHS + b"\x86R.",
    "an array of sides that take long to multiply": b"cnumpy\nndarray\n(\x8b" + struct.pack("<i", 100_000)
    + b"\x7f" * 100_000 + b"q\x00" + b"h\x00" * 1000 + b"t" + text("u1") + text("") + b"\x87R.",
    "memo index, PUT": b"Np" + b"9" * 5000 + b"\n",
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 2**60),
    "BINBYTES8 beyond the budget": b"\x80\x04\x8e" + struct.pack("<Q", 2**31),
    "BYTEARRAY8": b"\x80\x05\x96" + struct.pack("<Q", 2**60),
    "BINUNICODE8": b"\x80\x04\x8d" + struct.pack("<Q", 2**62),
    "LONG4": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1),
    "FRAME": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N",
    "a giant array": array_pickle(shape=(2**40,), data=b""),
    "an array that overflows": array_pickle(shape=(2**32, 2**32, 2), data=b""),
    "an array of a negative side": array_pickle(shape=(-1,), data=b""),
    "an array of too few bytes": array_pickle(shape=(3,)),
    "a giant array by its constructor": b"cnumpy\nndarray\n" + pickle.dumps(((2**40,), "u1", b""), 3)[2:-1] + b"R.",
    "nothing but lists": b"(" + b"]" * 10**7,
    "nothing but dicts, remembered": b"\x80\x04(" + b"}\x94" * 10**7,
    "lists in lists": b"]" * 10**6 + b"a" * (10**6 - 1),
    "tuples in tuples": b")" + b"\x85" * 10**6,
    "tuples in tuples as a key": b"})" + b"\x85" * 100_000 + b"K\x01s.",
    "marks": b"(" * 10**7,
    "one text made bytes again and again": text("a" * 10**6) + b"q\x000(" + b"c_codecs\nencode\nh\x00"
    + text("latin1") + b"\x86R" + (b"c_codecs\nencode\nh\x00" + text("latin1") + b"\x86R") * 1000,
    "many arrays": b"(" + array_pickle(data=b"x" * 100_000, shape=(50_000,))[2:-1] * 200,
    "a line without an end": b"S'" + b"a" * 10**7,
    "a number of many digits": b"I" + b"9" * 10**6 + b"\n.",
    "numbers of one hash as keys": b"}(" + b"".join(
        b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little") + b"N" for k in range(1, 20_000)) + b"u.",
    "a run of numbers, packed": gzip.compress(b"(" + b"K\x00" * 10**8, 1),
}
# What would do so to another reader, and is plain content to this one.
HARMLESS = {
    "memo index, LONG_BINPUT": b"Nr\xff\xff\xff\x7f.",
    "lists in lists": b"]" * 100_000 + b"a" * 99_999 + b".",
    "tuples in tuples": b")" + b"\x85" * 100_000 + b".",
    "laughs": b"N" + b"".join(b"q" + bytes([k]) + b"0](" + b"h" + bytes([k]) + b"h" + bytes([k]) + b"e"
                             for k in range(100)) + b".",
}
WITHIN = """
import gzip, io, json, re, resource, sys
from pathlib import Path
from seglib.datasets.unpickle import load_numbers
from tests.conftest import ROOT

resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

found = {}
for path in sys.argv[1:]:
    before = peak()
    with open(path, "rb") as plain:
        packed = plain.read(2) == bytes((0x1f, 0x8b))
        plain.seek(0)
        try:
            load_numbers(gzip.open(plain) if packed else plain, most_memory=1 << 26)
            said = "loaded"
        except ValueError as error:
            said = str(error)
    found[path] = said, peak() - before
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the memory")
@pytest.mark.parametrize("pickles", [BOMBS, HARMLESS], ids=["bombs", "harmless"])
def test_bombs_stay_within_the_memory_that_they_are_given(tmp_path: Path, pickles: dict[str, bytes]):
    paths = [tmp_path / str(n) for n in range(len(pickles))]
    for path, data in zip(paths, pickles.values(), strict=True):
        path.write_bytes(data)
    process = subprocess.run([sys.executable, "-c", WITHIN, *map(str, paths)], capture_output=True, text=True,
                             check=False, cwd=ROOT)
    assert process.returncode == 0, process.stderr  # no crash, nothing else raised
    for name, (said, megabytes) in zip(pickles, json.loads(process.stdout).values(), strict=True):
        assert (said == "loaded" if pickles is HARMLESS else
                said.startswith("not a pickle of plain numbers: ") and "\n" not in said), name
        assert megabytes < 100, name  # of the 64 that it was given, and the odd buffer


@pytest.mark.parametrize("shape", [(1 << 63,), (1 << 40_000,), (4,) + (1,) * 64, (2.0, 2), (-1, -4), [4]])
def test_a_shape_that_no_array_can_have_is_told_as_such(shape: Any):
    with pytest.raises(ValueError, match="an array's shape is none that it can have"):
        load_numbers(io.BytesIO(array_pickle(shape=shape, name="u1")), most_memory=MEMORY)


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1, 2, 3])[:-3]])
def test_damage_is_a_value_error(data: bytes):
    with pytest.raises(ValueError, match="not a pickle of plain numbers"):
        load_numbers(io.BytesIO(data), most_memory=MEMORY)


def test_the_garbage_collector_is_as_it_was():
    assert gc.isenabled()
    load_numbers(io.BytesIO(pickle.dumps([1, 2])), most_memory=MEMORY)
    assert gc.isenabled()
    with pytest.raises(ValueError, match="plain numbers"):
        load_numbers(io.BytesIO(b"no pickle"), most_memory=MEMORY)
    assert gc.isenabled()
    gc.disable()
    try:
        load_numbers(io.BytesIO(pickle.dumps([1, 2])), most_memory=MEMORY)
        assert not gc.isenabled()
    finally:
        gc.enable()
