"""The page of the matrix, ``docs/reference/matrix.md``: its generated part is written here, and read back by a test."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from tests.integration.wsgi_servers import APACHE
from tests.matrix.running import Outcome
from tests.matrix.table import HOSTS, OBSTACLES, SITES, WAYS, Cell, Host, Way, obstacle_for

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reference" / "matrix.md"
BEGIN: Final = "<!-- written by: python -m tests.matrix --write -->"
END: Final = "<!-- end of what is written -->"

GOOD: Final = "\N{CHECK MARK}"
BAD: Final = "\N{BALLOT X}"
MISSING: Final = "\N{EN DASH}"
_APACHE: Final = "/usr/sbin/apache2"


def write(outcomes: Sequence[Outcome]) -> None:
    """Put the outcomes between the two comments of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{generated(outcomes)}\n{END}{after}", encoding="utf-8")


def generated(outcomes: Sequence[Outcome]) -> str:
    """Return the generated part: what was run with what, and a table for each way."""
    signs = {outcome.cell: sign(outcome) for outcome in outcomes}
    good = sum(one == GOOD for one in signs.values())
    python = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    parts = [
        f"{good} of {len(signs)} cells answered as they should, on {datetime.now(UTC):%d %B %Y}, with {python}.\n",
        _table(["Server", "Version"], ([host.name, version_of(host)] for host in HOSTS)),
        _table(
            ["Application", "Version"],
            ([site.name, metadata.version(site.distribution)] for site in SITES if site.distribution),
        ),
    ]
    for way in WAYS:
        parts += [f"### {way.name}\n", table_of(way, signs)]
    if OBSTACLES:
        parts.append("".join(f"{number}. {obstacle.reason}\n" for number, obstacle in enumerate(OBSTACLES, 1)))
    return "\n".join(parts)


def table_of(way: Way, signs: Mapping[Cell, str]) -> str:
    """Return the table of one way: a row for each application, a column for each server."""
    rows = ([site.name, *(signs.get(Cell(site, host, way), MISSING) for host in way.hosts)] for site in SITES)
    return _table(["", *(host.name for host in way.hosts)], rows)


def sign(outcome: Outcome) -> str:
    """Return what stands in a cell: a check mark, the number of the reason why it cannot be one, or a cross."""
    if outcome.unavailable:
        return MISSING
    obstacle = obstacle_for(outcome.cell)
    if obstacle is not None and obstacle.symptom in outcome.failure:
        return f"({OBSTACLES.index(obstacle) + 1})"
    return GOOD if outcome.is_well else BAD


def version_of(host: Host) -> str:
    """Return the version of a server."""
    if host.distribution:
        return metadata.version(host.distribution)
    if host.kind is APACHE:
        said = subprocess.run([_APACHE, "-v"], capture_output=True, text=True, timeout=10, check=True).stdout
        return f"{said.partition('Apache/')[2].split()[0]} with mod_wsgi"
    return f"of Python {sys.version_info.major}.{sys.version_info.minor}"


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def read() -> dict[str, list[list[str]]]:
    """Return the tables of the generated part, their heads included, by the name of the way."""
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    tables: dict[str, list[list[str]]] = {}
    for part in text.split("\n### ")[1:]:
        name, _, rest = part.partition("\n")
        lines = [line for line in rest.splitlines() if line.startswith("|") and not line.startswith("| ---")]
        tables[name] = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return tables
