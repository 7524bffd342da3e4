"""Accesses of all kinds, to see that there is a point before each."""

from __future__ import annotations

from collections import deque


class Sample:
    """Some of its attributes change, one does not."""

    def __init__(self) -> None:
        self.constant = 1
        self.value = 0
        self.items = [1]
        self.table = {"a": 1}
        self.line: deque[int] = deque([1])

    @property
    def double(self) -> int:
        return self.value * 2

    def change_all(self) -> None:
        """Let all but one be attributes that change."""
        self.value = 1
        self.items = []
        self.table = {}
        self.line = deque()

    def reads(self) -> None:
        assert self.value == 0

    def reads_a_constant(self) -> None:
        assert self.constant

    def reads_a_property(self) -> None:
        assert self.double == 0

    def writes(self) -> None:
        self.value = 1

    def adds(self) -> None:
        self.value += 1

    def swaps(self) -> None:
        _, self.value = self.value, 1

    def deletes(self) -> None:
        del self.value

    def appends(self) -> None:
        self.items.append(2)

    def pops_by_another_name(self) -> None:
        line = self.line
        line.popleft()

    def measures(self) -> None:
        assert len(self.items) == 1

    def looks_whether_there_are_some(self) -> None:
        if self.items:
            return

    def looks_whether_it_is_in(self) -> None:
        assert 1 in self.items

    def walks(self) -> None:
        for _ in self.items:
            pass

    def walks_in_an_expression(self) -> None:
        assert [item * 2 for item in self.items] == [2]

    def takes_an_item(self) -> None:
        assert self.table["a"] == 1

    def sets_an_item(self) -> None:
        self.table["a"] = 2

    def deletes_a_slice(self) -> None:
        items = self.items
        del items[:]
