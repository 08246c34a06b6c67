"""What is not one strict JSON document is refused before anyone looks at its contents."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.strict_json import BadJson, decode

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_VALUES)
def test_strict_documents_come_back(value: object) -> None:
    assert decode(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"{",
        b'{"a":1}{}',
        b'{"a":1,"a":2}',
        b'[{"a":1,"b":{"c":1,"c":2}}]',
        b"NaN",
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\\u0000"',
        b'"a\x00b"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"[" * 100 + b"]" * 100,
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"9" * 5_000,
    ],
)
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(BadJson):
        decode(body)
