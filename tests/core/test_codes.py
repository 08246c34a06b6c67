"""Ticket codes have one spelling, and reading never raises."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapters.signing import Signer, Verifier, generate
from engine.core import codes
from engine.core.codes import TicketCode

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
PRIVATE, PUBLIC = generate()
SIGNER, VERIFIER = Signer(7, PRIVATE), Verifier({7: PUBLIC})
CODE = SIGNER.code(12, 3456, 2, 1)

ticket_codes = st.builds(
    TicketCode,
    st.integers(0, 2**8 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None)
@given(ticket_codes, st.binary(min_size=64, max_size=64))
def test_a_code_reads_back(code: TicketCode, signature: bytes) -> None:
    signed = codes.payload(code)
    text = codes.spell(signed, signature)
    assert len(signed) == 20 and len(text) == 139 and text.startswith("FM1:")
    assert set(text[4:]) <= set(ALPHABET)
    assert codes.read(text) == (code, signed, signature)


def test_the_payload_is_the_contract_s() -> None:
    signed = codes.payload(TicketCode(key_id=2, event=3, number=4, tier=5, serial=6))
    assert signed.hex() == "0102000000030000000000000004000500000006"


@pytest.mark.parametrize(
    "code",
    [
        TicketCode(256, 1, 1, 1, 1),
        TicketCode(1, 2**32, 1, 1, 1),
        TicketCode(1, 1, 2**64, 1, 1),
        TicketCode(1, 1, 1, 2**16, 1),
        TicketCode(1, 1, 1, 1, 2**32),
        TicketCode(1, -1, 1, 1, 1),
    ],
)
def test_numbers_that_do_not_fit_are_refused(code: TicketCode) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        codes.payload(code)


def test_a_genuine_code_says_what_was_signed() -> None:
    assert VERIFIER.genuine(CODE) == TicketCode(7, 12, 3456, 2, 1)
    assert SIGNER.code(12, 3456, 2, 1) == CODE


@settings(deadline=None)
@given(st.integers(0, 138), st.sampled_from(string.printable + "é٣"))
def test_any_other_character_is_not_genuine(at: int, char: str) -> None:
    changed = CODE[:at] + char + CODE[at + 1 :]
    assert (VERIFIER.genuine(changed) is None) == (changed != CODE)


def test_every_unused_bit_set_is_refused() -> None:
    """The last character carries two bits and three unused ones: eight spellings of which one is ours."""
    last = ALPHABET.index(CODE[-1])
    twins = [CODE[:-1] + ALPHABET[last - last % 8 + low] for low in range(8)]
    assert [codes.read(twin) is not None for twin in twins].count(True) == 1


@pytest.mark.parametrize(
    "respelled",
    [
        CODE.lower(),
        "fm1:" + CODE[4:],
        CODE + "=",
        CODE[:-1] + "=",
        CODE[:-1],
        CODE + "A",
        " " + CODE,
        CODE + "\n",
        CODE[4:],
        "FM2:" + CODE[4:],
        CODE[:4] + "-" + CODE[5:],
        CODE.translate(str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "".join(map(chr, range(0xFF21, 0xFF3B))))),
        "",
        "FM1:",
        "\ud800" * 139,
        "FM1:" + "\0" * 135,
        None,
        CODE.encode(),
        17,
    ],
)
def test_other_spellings_are_not_read(respelled: object) -> None:
    assert codes.read(respelled) is None
    assert VERIFIER.genuine(respelled) is None


def test_another_version_is_not_read() -> None:
    signed = b"\x02" + codes.payload(TicketCode(7, 1, 1, 1, 1))[1:]
    assert codes.read(codes.spell(signed, bytes(64))) is None


@settings(deadline=None)
@given(st.one_of(st.text(), st.binary(), st.text(ALPHABET, min_size=135, max_size=135).map("FM1:".__add__)))
def test_whatever_is_scanned_is_at_most_not_genuine(text: object) -> None:
    assert VERIFIER.genuine(text) is None


def test_another_key_s_code_is_not_genuine() -> None:
    other, _ = generate()
    assert VERIFIER.genuine(Signer(7, other).code(12, 3456, 2, 1)) is None
    assert VERIFIER.genuine(Signer(8, PRIVATE).code(12, 3456, 2, 1)) is None
