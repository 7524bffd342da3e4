"""The little SVG that plots are made of: no background of its own, colours for light and for dark pages."""

from __future__ import annotations

import html

_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.panel { font-weight: 600; }
.quiet { fill: #59636e; font-size: 12px; font-weight: 400; }
.strong { font-weight: 600; }
.bridge { fill: #0b6bcb; }
.peer { fill: #a3adb8; }
.base { fill: none; stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 4 3; }
.level { stroke: #59636e; stroke-width: 1; stroke-dasharray: 4 3; stroke-opacity: 0.6; }
.grid { stroke: #59636e; stroke-opacity: 0.25; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.quiet { fill: #9aa4af; }
.bridge { fill: #58a6ff; }
.peer { fill: #656d76; }
.base, .level, .grid { stroke: #9aa4af; }
}
""".strip()


def document(width: float, height: float, *, title: str, description: str, parts: list[str]) -> str:
    """Return a whole file; title and description are what is read to those who do not see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {length(width)} {length(height)}" '
        f'width="{length(width)}" height="{length(height)}" role="img" aria-labelledby="title description">'
    )
    named = [
        f'<title id="title">{html.escape(title)}</title>',
        f'<desc id="description">{html.escape(description)}</desc>',
        f"<style>\n{_STYLE}\n</style>",
    ]
    return "\n".join([head, *named, *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, *, style: str = "", anchor: str = "start", followed_by: str = "") -> str:
    """Return words that begin, end or have their middle at a point, the foot of the letters at ``y``.

    What they are followed by is quieter.
    """
    of_style = f' class="{style}"' if style else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    more = ""
    if followed_by:
        gap = ' dx="10"' if words else ""
        more = f'<tspan class="quiet"{gap}>{html.escape(followed_by)}</tspan>'
    return f'<text x="{length(x)}" y="{length(y)}"{of_style}{placed}>{html.escape(words)}{more}</text>'


def bar(x: float, y: float, width: float, height: float, *, style: str) -> str:
    """Return a rectangle with corners that are a little round."""
    size = f'width="{length(width)}" height="{length(height)}"'
    return f'<rect x="{length(x)}" y="{length(y)}" {size} rx="2" class="{style}"/>'


def line(x: float, top: float, bottom: float, *, style: str) -> str:
    """Return an upright line."""
    return f'<line x1="{length(x)}" y1="{length(top)}" x2="{length(x)}" y2="{length(bottom)}" class="{style}"/>'


def width_of(words: str, *, size: float = 13) -> float:
    """Return about how wide words are: fonts differ, so this is rather too much than too little."""
    narrow = sum(letter in " .,:;il|'()" for letter in words)
    return (35 * narrow + 62 * (len(words) - narrow)) * size / 100  # whole numbers: Pythons add others up differently


def length(value: float) -> str:
    """Return a length with a tenth of a pixel at most, and the same text on every machine."""
    return f"{value:.1f}".removesuffix(".0")
