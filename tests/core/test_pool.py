"""A pool's categories and what is free add up to its capacity."""

import pytest

from engine.core.pool import Pool


def test_categories_add_up() -> None:
    pool = Pool(100, held=1, in_checkout=2, sold=3, comped=4, withheld=5)
    assert pool.committed == 15
    assert pool.available == 85
    pool.check()


@pytest.mark.parametrize("pool", [Pool(1, held=2), Pool(5, held=-1), Pool(3, sold=2, withheld=2)])
def test_an_impossible_pool_is_found(pool: Pool) -> None:
    with pytest.raises(AssertionError):
        pool.check()
