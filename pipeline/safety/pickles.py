"""Pickles that hold plain data only: nothing in them can run.

REFER publishes ``refs(*).p`` as pickles of dictionaries, lists, strings and numbers. They are read
once, here, by an unpickler that knows no global name. It is the interpreter's own, in its Python
form (some seconds for the largest published file): the C form allocates whatever memo index and
length a file names, so that forty bytes could take all memory.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ClassVar

from pipeline.safety.errors import InputError

MAX_PICKLE_BYTES = 256 << 20  # the largest published refs file has 34 MB
_DEFAULT_ENCODING = "utf-8"

# Opcodes that build objects, reach outside the file, or reserve any length that it claims.
_REFUSED = (
    *(pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.BUILD, pickle.FROZENSET),
    *(pickle.PERSID, pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
_TUPLES = (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)

Operation = Callable[[Any], None]


def _refuse(_: Any) -> None:
    raise InputError("holds more than plain data")


def _flat(build: Operation) -> Operation:
    """``build`` for tuples without tuples: hashing a deeply nested one would end the process."""

    def build_flat(unpickler: Any) -> None:
        build(unpickler)
        if any(isinstance(item, tuple) for item in unpickler.stack[-1]):
            raise InputError("holds a tuple in a tuple")

    return build_flat


class _PlainUnpickler(pickle._Unpickler):
    """Finds no global but those of ``allow``; an InputError says what else was asked for."""

    dispatch: ClassVar[dict[int, Operation]] = {
        **pickle._Unpickler.dispatch,
        **{opcode[0]: _refuse for opcode in _REFUSED},
        **{opcode[0]: _flat(pickle._Unpickler.dispatch[opcode[0]]) for opcode in _TUPLES},
    }

    def __init__(self, file: io.BytesIO, *, encoding: str, allow: Collection[str]) -> None:
        super().__init__(file, encoding=encoding)
        self._allow = allow

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in self._allow:
            return super().find_class(module, name)
        raise InputError(f"asks for the global {module}.{name}, which could run code")


def load_plain_pickle(
    path: str | Path,
    allow: Collection[str] = (),
    *,
    encoding: str = _DEFAULT_ENCODING,
    max_bytes: int = MAX_PICKLE_BYTES,
) -> Any:
    """The dicts, lists, sets, tuples, strings, bytes and numbers of a pickle of any protocol.

    path: the file; at most ``max_bytes`` are read.
    allow: globals that it may name, as "builtins.set" (which protocols below 4 need for a set; both
        Python 2's and 3's module names are matched as the file writes them).
    encoding: of the 8-bit strings of Python 2 ("latin1", "utf-8" or "bytes").

    InputError names the file, and the forbidden global if it has one. Nothing of it is run.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > max_bytes:
        raise InputError(f"{path}: larger than {max_bytes} bytes; not a file of this kind")
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding=encoding, allow=allow).load()
    except InputError as error:
        raise InputError(f"{path}: refused: it {error}; get it from its publisher") from error
    except Exception as error:  # a damaged pickle can raise anything at all
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise InputError(f"{path}: damaged or no pickle ({reason}); get it again") from error
