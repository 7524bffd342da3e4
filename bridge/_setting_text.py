"""Settings as text: pairs, switches and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

from bridge.errors import ConfigurationError

_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

T = TypeVar("T")


def pairs_from(text: str, source: str) -> dict[str, str]:
    """Read ``name=value`` pairs, separated by commas or spaces.

    Args:
        text: the pairs.
        source: where they stand, for the message.

    Raises:
        ConfigurationError: one is no pair.
    """
    pairs: dict[str, str] = {}
    for part in text.replace(",", " ").split():
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ConfigurationError(f"{source} takes name=value, separated by commas; {part!r} is not that")
        pairs[name] = value
    return pairs


def switch_from(variable: str, variables: Mapping[str, str]) -> bool:
    """Read a variable that is on or off; off if it is not there.

    Raises:
        ConfigurationError: it says something else.
    """
    text = variables.get(variable, "")
    return value_from(variable, text, bool) if text else False


def value_from(name: str, text: str, kind: type[T]) -> T:
    """Read a text, a number or a switch.

    Raises:
        ConfigurationError: it is none; ``name`` says what.
    """
    if kind is bool:
        if text.lower() not in _SWITCH:
            raise ConfigurationError(f"{name} is a switch, 1 or 0; {text!r} is neither")
        return cast("T", _SWITCH[text.lower()])
    try:
        return kind(text)  # type: ignore[call-arg]
    except ValueError:
        raise ConfigurationError(f"{name} is a number; {text!r} is none") from None


def number_from(name: str, text: str, annotation: str) -> float | None:
    """Read the number of a limit, whose annotation says which numbers it takes.

    Raises:
        ConfigurationError: it is no such number.
    """
    if text.lower() in ("none", "off") and "None" in annotation:
        return None
    reads: tuple[Callable[[str], float], ...] = (int, float) if "float" in annotation else (int,)
    for read in reads:
        try:
            return read(text)
        except ValueError:
            continue
    kind = "a number" if "float" in annotation else "a whole number"
    raise ConfigurationError(f"the limit {name} is {kind}{' or none' if 'None' in annotation else ''}; {text!r} is not")
