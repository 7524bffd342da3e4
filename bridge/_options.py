"""Checking the arguments of both adapters."""

from __future__ import annotations


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        TypeError: naming the option and its choices.
    """
    if value not in choices:
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")
