"""How often somebody may call, and how many bytes of strangers are kept at once."""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from typing import Final

# A key costs about 200 bytes. Somebody with more addresses than this has more than our limits to fight with.
_MOST_KEYS: Final = 10_000


class Buckets:
    """So many calls a minute for each key, all at once or spread out."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, per_minute: int, now: float) -> int:
        """Take one call; 0, or whole seconds to wait where there is none left."""
        wait_s = self.wait_s(key, per_minute, now)
        if not wait_s:
            self._put(key, self._now_left(key, per_minute, now) - 1, now)
        return wait_s

    def wait_s(self, key: str, per_minute: int, now: float) -> int:
        """Whole seconds until there is a call left, 0 where there is one."""
        left = self._now_left(key, per_minute, now)
        return 0 if left >= 1 else math.ceil(round((1 - left) * 60 / per_minute, 3))

    def give_back(self, key: str, per_minute: int, now: float) -> None:
        """Undo one `take`."""
        self._put(key, min(per_minute, self._now_left(key, per_minute, now) + 1), now)

    def _now_left(self, key: str, per_minute: int, now: float) -> float:
        left, at = self._left.get(key, (float(per_minute), now))
        if now < at:
            # The clock was set back: what is left stays, and fills up from here.
            self._put(key, left, now)
            return min(float(per_minute), left)
        return min(float(per_minute), left + (now - at) * per_minute / 60)

    def _put(self, key: str, left: float, now: float) -> None:
        self._left[key] = (left, now)
        self._left.move_to_end(key)
        if len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)


def peer(host: str) -> str:
    """Who calls: an address; of IPv6 the network, since everybody has 2^64 addresses in theirs."""
    try:
        address = ip_address(host)
    except ValueError:
        return host[:100]
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)


class Room:
    """Bytes that may be held at once, over all requests."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    def take(self, count: int) -> bool:
        """Whether there is room for so many more; then it is taken."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give_back(self, count: int) -> None:
        """What `take` took."""
        self._left += count
