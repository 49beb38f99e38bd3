"""Strict reading of JSON: every type, every range, and what is not JSON at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.base.errors import IntegrityError
from appliance.formats.fields import Fields, parse_json

DEEP = b"[" * 100000


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b"[Infinity]", DEEP, b"9" * 5000])
def test_what_is_not_plain_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(data)


@pytest.mark.parametrize("data", [b"[]", b"1", b"null", b"{", DEEP, b'{"a":"' + b"x" * 100000])
def test_what_is_no_object_within_the_limit_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"^thing: "):
        Fields.parse(data, "thing", 50000)


def test_each_kind_of_member_is_read() -> None:
    text = b'{"t":"x","i":3,"s":2,"b":true,"h":"00ff","l":[1],"o":{"t":"y"}}'
    fields = Fields.parse(text, "thing", 1000)
    assert fields.text("t") == fields.choice("t", ("x", "y")) == "x"
    assert fields.integer("i", 3, 3) == 3
    assert fields.seconds("s") == 2.0
    assert fields.boolean("b") is True
    assert fields.hex("h", 2) == b"\x00\xff"
    assert fields.items("l") == [1]
    assert fields.fields("o").text("t") == "y"
    assert fields.get("missing") is None


@pytest.mark.parametrize("value", ["null", "true", "1", "1.5", "-1", '"x"', "[]", "{}", "1e999"])
def test_a_member_of_another_type_is_refused(value: str) -> None:
    fields = Fields.parse(f'{{"m":{value}}}'.encode(), "thing", 1000)
    readers: dict[str, tuple[Callable[[], object], set[str]]] = {
        "text": (lambda: fields.text("m"), {'"x"'}),
        "choice": (lambda: fields.choice("m", ("y",)), set()),
        "integer": (lambda: fields.integer("m"), {"1"}),
        "seconds": (lambda: fields.seconds("m"), {"1", "1.5"}),
        "boolean": (lambda: fields.boolean("m"), {"true"}),
        "hex": (lambda: fields.hex("m", 1), set()),
        "items": (lambda: fields.items("m"), {"[]"}),
        "fields": (lambda: fields.fields("m"), {"{}"}),
    }
    for read, allowed in readers.values():
        if value in allowed:
            read()
        else:
            with pytest.raises(IntegrityError, match="'m'"):
                read()


@pytest.mark.parametrize("text", ["00FF", "00f", "00 ff", "00ff\n", "\u0660\u0660ff", "00ff00"])
def test_hex_has_one_spelling(text: str) -> None:
    with pytest.raises(IntegrityError, match="4 hex digits"):
        Fields({"h": text}, "thing").hex("h", 2)
