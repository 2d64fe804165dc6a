"""A limit on failed API keys: who guesses is slowed down, who has a valid key never notices."""

import math
import time
from typing import Final

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from api.errors import TooManyRequests

_MAX_ADDRESSES: Final = 10_000
"""Addresses that are counted apart. Any more share one count, so that no number of them fills the memory."""

_OTHERS: Final = "others"


class FailedKeys:
    """Counts the failed keys of each client address in windows of a minute, in this process."""

    def __init__(self, per_minute: int, max_addresses: int = _MAX_ADDRESSES) -> None:
        """Takes how many an address may send in a minute, 0 for any number."""
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._max_addresses = max_addresses
        self._counts = MemoryStorage()
        self._windows = FixedWindowRateLimiter(self._counts)

    async def count(self, address: str) -> None:
        """Counts a failed key.

        Raises:
            TooManyRequests: The address has sent more than its share in this minute.
        """
        if self._limit is None:
            return
        is_new = self._limit.key_for(address) not in self._counts.storage
        who = _OTHERS if is_new and len(self._counts.storage) >= self._max_addresses else address
        if await self._windows.hit(self._limit, who):
            return
        ends = (await self._windows.get_window_stats(self._limit, who)).reset_time
        seconds = max(1, math.ceil(ends - time.time()))
        raise TooManyRequests(
            f"Too many failed API keys from this address. Send a valid key, or try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
