"""Dense numbers for hosts, so that what is kept of a host is an array element."""

from collections.abc import Callable

_FIRST_CAPACITY = 64


class HostNumbers:
    """Numbers from 0; a forgotten host's number is given to another. `on_grow` is called with a new capacity."""

    def __init__(self) -> None:
        self.capacity = _FIRST_CAPACITY
        self.names: list[str] = []
        self.on_grow: list[Callable[[int], None]] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, host: str) -> int | None:
        """The number of a host that has one."""
        return self._numbers.get(host)

    def number(self, host: str) -> int:
        """The number of a host, a new one when it has none."""
        number = self._numbers.get(host)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.names[number] = host
            else:
                number = len(self.names)
                self.names.append(host)
            self._numbers[host] = number
            if number >= self.capacity:
                self.capacity *= 2
                for grow in self.on_grow:
                    grow(self.capacity)
        return number

    def forget(self, host: str) -> None:
        """Give the number back; all that is kept under it must be gone."""
        self._free.append(self._numbers.pop(host))
