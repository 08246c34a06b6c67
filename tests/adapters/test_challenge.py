"""The puzzle: solvable by counting, worthless when forged, spent or old."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from engine.adapters import challenge

KEY = b"k" * 32


def solve(puzzle: dict[str, Any], **changes: Any) -> str:
    number = next(
        n
        for n in range(puzzle["maxnumber"] + 1)
        if hashlib.sha256(f"{puzzle['salt']}{n}".encode()).hexdigest() == puzzle["challenge"]
    )
    solution = {name: puzzle[name] for name in ("algorithm", "challenge", "salt", "signature")}
    return base64.b64encode(json.dumps(solution | {"number": number} | changes).encode()).decode()


def test_a_solution_counts_by_its_salt() -> None:
    puzzle = challenge.make(KEY, 1000)
    assert challenge.solved(KEY, solve(puzzle), 1001) == puzzle["salt"]
    assert challenge.solved(KEY, solve(puzzle), 5000) is None
    assert challenge.solved(b"x" * 32, solve(puzzle), 1001) is None


@pytest.mark.parametrize(
    "changes", [{"number": -1}, {"signature": "0" * 64}, {"salt": "a?expires=99999"}, {"algorithm": "MD5"}]
)
def test_forged_solutions_are_none(changes: dict[str, Any]) -> None:
    assert challenge.solved(KEY, solve(challenge.make(KEY, 1000), **changes), 1001) is None


@pytest.mark.parametrize("header", [None, "", "é", "AAAA", "e30=", "x" * 3000])
def test_odd_headers_are_none(header: str | None) -> None:
    assert challenge.solved(KEY, header, 0) is None
