"""How often somebody may ask, counted in this process or, for several together, in Redis."""

import logging

from fastapi import HTTPException

from pipelines.errors import MediadexError
from pipelines.progress import LOGGER


class Rate:
    """Counts requests by who makes them, in a sliding window."""

    def __init__(self, rate: str, storage: str):
        """Take a rate such as `100/second`, empty for none, and where to count.

        Raises MediadexError for what is neither.
        """
        from limits import parse
        from limits.aio.strategies import SlidingWindowCounterRateLimiter
        from limits.storage import storage_from_string

        redis = {"implementation": "redispy"} if storage.startswith("redis") else {}
        try:
            self._most = parse(rate) if rate else None
            counts = storage_from_string(f"async+{storage}", wrap_exceptions=True, **redis)
            self._window = SlidingWindowCounterRateLimiter(counts)
        except Exception as error:
            raise MediadexError(
                f"the rate `{rate}` cannot be counted in `{storage.split('@')[-1]}`: give a rate "
                "such as 100/second, and memory:// or redis://HOST:PORT"
            ) from error

    async def count(self, who: str) -> None:
        """Count a request; raises HTTPException (429) for one too many.

        A store of counts that is out of reach refuses nobody.
        """
        from limits.errors import StorageError

        if self._most is None:
            return
        try:
            if await self._window.hit(self._most, who):
                return
            again = (await self._window.get_window_stats(self._most, who)).reset_time
        except StorageError as error:
            reason = type(error.storage_error).__name__
            logging.getLogger(LOGGER).warning("requests are not counted: %s", reason)
            return
        raise too_often(again, str(self._most))


def too_often(again_at: float, most: str) -> HTTPException:
    """Return the refusal of one request too many, with the seconds to wait."""
    import math
    import time

    seconds = max(1, math.ceil(again_at - time.time()))
    told = f"these are more requests than {most}; ask again in {seconds} s"
    return HTTPException(429, told, {"Retry-After": str(seconds)})
