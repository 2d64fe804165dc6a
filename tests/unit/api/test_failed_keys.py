"""The limit on failed API keys: windows of a minute, addresses apart, memory bounded."""

import time

import pytest

from api.errors import TooManyRequests
from api.failed_keys import FailedKeys


async def refused_after(keys: FailedKeys, address: str) -> int:
    """Returns how many failed keys an address may send."""
    for count in range(100):
        try:
            await keys.count(address)
        except TooManyRequests:
            return count
    return 100


async def test_each_address_has_its_share_of_every_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    keys = FailedKeys(3)

    assert [await refused_after(keys, address) for address in ("10.0.0.1", "10.0.0.2", "::1", "")] == [3] * 4
    now += 59.5
    with pytest.raises(TooManyRequests) as refused:
        await keys.count("10.0.0.1")
    assert refused.value.headers == {"Retry-After": "1"}
    now += 1
    assert await refused_after(keys, "10.0.0.1") == 3


async def test_addresses_past_the_bound_share_one_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    keys = FailedKeys(5, max_addresses=10)
    refused = 0
    for number in range(1000):
        try:
            await keys.count(f"10.0.{number // 250}.{number % 250}")
        except TooManyRequests:
            refused += 1

    assert refused == 1000 - 10 - 5
    assert len(keys._counts.storage) == 11
    # Who was counted before goes on being counted alone.
    assert await refused_after(keys, "10.0.0.0") == 4
    now += 61
    assert await refused_after(keys, "10.0.3.249") == 5


async def test_zero_is_no_limit() -> None:
    assert await refused_after(FailedKeys(0), "10.0.0.1") == 100
