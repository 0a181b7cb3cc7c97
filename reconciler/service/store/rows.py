"""Records as rows and rows as records. Pure: no database, no clock."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, Final, Generic, TypeVar, get_origin, get_type_hints

import orjson

from reconciler.resource import Json
from reconciler.service.records import Health
from reconciler.service.store.database import Row, Value

R = TypeVar("R")

# Below this many bytes of JSON a page of the database is not made smaller by packing.
_PACK_FROM_BYTES: Final = 2_000
# The reports of a day are many and alike: level 3 packs them nearly as small as 6 in half the time.
_PACK_LEVEL: Final = 3


def text(value: str) -> str:
    """The text as every database takes it: NUL and half characters, which no name has, are written out."""
    if value.isascii() and "\x00" not in value:
        return str(value)
    return str(value).replace("\x00", "\\x00").encode(errors="backslashreplace").decode()


def folded(value: str) -> str:
    """The text for searching without regard to case."""
    return text(value.casefold())


# In front of JSON that only Python's own reader gives back whole: orjson reads large numbers as fractions.
_SLOW: Final = b" "


def _dump(value: Json) -> bytes:
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError:  # a number beyond 64 bits, or half a character: rare, and legal in Python
        return _SLOW + json.dumps(value, default=_plain).encode()


def _plain(value: object) -> Json:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _load(value: bytes) -> Json:
    return json.loads(value) if value.startswith(_SLOW) else orjson.loads(value)


def _json(value: Json) -> str:
    return _dump(value).decode()


def _packed(value: Json) -> bytes:
    plain = _dump(value)
    return plain if len(plain) < _PACK_FROM_BYTES else zlib.compress(plain, _PACK_LEVEL)


def _unpacked(value: bytes) -> Json:
    # JSON of an object starts with a brace, or with our mark, which no zlib stream does.
    return _load(value if value.startswith((b"{", _SLOW)) else zlib.decompress(value))


def _tuple(value: str) -> tuple[Json, ...]:
    return () if value == "[]" else tuple(_load(value.encode()))


def _mapping(value: str) -> Json:
    return {} if value == "{}" else _load(value.encode())


Encode = Callable[[Any], Value]
Decode = Callable[[Any], Any]

_CODECS: Final[Mapping[object, tuple[Encode, Decode]]] = {
    str: (text, str),
    Health: (text, Health),
    int: (int, int),
    float: (float, float),
    bool: (int, bool),
    tuple: (_json, _tuple),
    Mapping: (_json, _mapping),
}


class Table(Generic[R]):
    """A table whose columns are the fields of a record.

    Args:
        key: the columns of its primary key; without a key the database numbers the rows by `id`.
        packed: fields of JSON that grow large: bytes, compressed where it pays.
        words: makes the text that searches look through, in a column of its own.
    """

    def __init__(
        self,
        name: str,
        record: type[R],
        *,
        key: tuple[str, ...] = (),
        packed: Collection[str] = (),
        words: Callable[[R], str] | None = None,
    ) -> None:
        self.name, self._record, self._words = name, record, words
        hints = get_type_hints(record)
        codecs: dict[str, tuple[Encode, Decode]] = {
            field.name: (_packed, _unpacked)
            if field.name in packed
            else _CODECS[get_origin(hints[field.name]) or hints[field.name]]
            for field in fields(record)  # type: ignore[arg-type] # every record is a dataclass
        }
        self._decode = {name: decode for name, (_, decode) in codecs.items()}
        self._encode = {name: encode for name, (encode, _) in codecs.items() if key or name != "id"}
        self._key = key

    def select(self, *, without: Collection[str] = ()) -> str:
        """`SELECT` of the fields, in the order that `records` expects."""
        return f"SELECT {_list(self._fields(without))} FROM {self.name}"

    def insert(self) -> str:
        """Adds one row."""
        columns = [*self._encode, *(["words"] if self._words else [])]
        return f"INSERT INTO {self.name} ({_list(columns)}) VALUES ({', '.join('?' * len(columns))})"

    def put(self, *, keep: Collection[str] = ()) -> str:
        """Adds one row, or replaces the one of its key except for the columns in `keep`."""
        columns = [*self._encode, *(["words"] if self._words else [])]
        replaced = [name for name in columns if name not in self._key and name not in keep]
        sets = ", ".join(f'"{name}" = excluded."{name}"' for name in replaced)
        return f"{self.insert()} ON CONFLICT ({_list(self._key)}) DO UPDATE SET {sets}"

    def row(self, record: R) -> tuple[Value, ...]:
        """The values for `insert` and `put`."""
        values = [encode(getattr(record, name)) for name, encode in self._encode.items()]
        if self._words is not None:
            values.append(folded(self._words(record)))
        return tuple(values)

    def record(self, row: Row, *, without: Collection[str] = ()) -> R:
        """The record of a row of `select`; fields in `without` have their defaults."""
        decode = self._decode
        named = zip(self._fields(without), row, strict=True)
        return self._record(**{name: decode[name](value) for name, value in named})

    def _fields(self, without: Collection[str]) -> list[str]:
        return [name for name in self._decode if name not in without]


def _list(columns: Collection[str]) -> str:
    """Column names, quoted: some are words of SQL."""
    return ", ".join(f'"{name}"' for name in columns)
