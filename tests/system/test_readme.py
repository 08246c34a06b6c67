"""The README's sale is real: every line of it is replayed against a running product."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from tests.system.conftest import Product

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_sale(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    text = README.read_text().replace("```python\n", "").replace("\n```\n", "\n")
    text = text.replace('".data/run.json"', repr(str(product.data / "run.json")))
    sale = doctest.DocTestParser().get_doctest(text, {}, "README", str(README), 0)
    assert len(sale.examples) > 15
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    result = runner.run(sale, out=said.append)
    assert result.failed == 0, "".join(said)
