"""Capabilities are spelled one way only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.ids import parse, spell


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1))
def test_every_id_comes_back(event: int, secret: int) -> None:
    text = spell("hold", event, secret)
    assert len(text) == len("hold_") + 32
    assert parse("hold", text) == (event, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hold_",
        "ord_" + "a" * 32,
        "hold_" + "A" * 32,
        "hold_" + "a" * 31,
        "hold_" + "1" * 32,
        "hold_" + "ä" * 32,
    ],
)
def test_other_spellings_are_no_ids(text: str) -> None:
    assert parse("hold", text) is None
