"""Messages that are one short frame, as nearly all are, without the library's parser, which takes far longer.

Whatever is special about a frame in any way is left to the library: this only recognises what is not.
"""

from __future__ import annotations

import struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # it is compiled, and not everywhere
    from websockets.utils import apply_mask

_MOST_SHORT_BYTES = 125
_MOST_OF_TWO_BYTES = 0xFFFF
_WHOLE_TEXT, _WHOLE_BINARY = 0x81, 0x82
_MASK_BIT = 0x80
_SHORT, _MIDDLE, _LONG = (struct.Struct(form).pack for form in ("!BB", "!BBH", "!BBQ"))
_NO_MASK = bytes(4)
_PLAIN_START, _MASKED_START = 2, 6
MOST_AT_ONCE_BYTES = _MASKED_START + _MOST_SHORT_BYTES
"""The largest frame that is looked at here."""


def short_message(octets: bytes, *, is_masked: bool, most_bytes: int | None) -> str | bytes | None:
    """Return the message if the octets are one whole frame with all of it, and nothing else; None if they are not.

    Args:
        octets: what begins with a frame; at most `MOST_AT_ONCE_BYTES`.
        is_masked: whether it must have a mask.
        most_bytes: what a message may have.
    """
    start, mask_bit = (_MASKED_START, _MASK_BIT) if is_masked else (_PLAIN_START, 0)
    length = len(octets) - start
    if length < 0 or octets[1] != mask_bit | length or (most_bytes is not None and length > most_bytes):
        return None
    payload = apply_mask(octets[_MASKED_START:], octets[_PLAIN_START:_MASKED_START]) if is_masked else octets[start:]
    if octets[0] == _WHOLE_BINARY:
        return payload
    if octets[0] != _WHOLE_TEXT:
        return None
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError:
        return None


def message_head(opcode: int, length: int, *, is_masked: bool) -> bytes:
    """Return the head of a message in one frame.

    A mask, where there is one, is of zeros: it protects from proxies on the way, and between the ends of a socketpair
    there are none.
    """
    first, mask_bit = 0x80 | opcode, _MASK_BIT if is_masked else 0
    if length <= _MOST_SHORT_BYTES:
        head = _SHORT(first, mask_bit | length)
    elif length <= _MOST_OF_TWO_BYTES:
        head = _MIDDLE(first, mask_bit | 126, length)
    else:
        head = _LONG(first, mask_bit | 127, length)
    return head + _NO_MASK if is_masked else head
