"""What the documentation says of the command line and the variables is so: every option, name, default and server."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
from typing import Any, get_args, get_type_hints

import click
import pytest

from bridge import ASGIToWSGI, Limits, WSGIToASGI
from bridge._setting_text import _SWITCH
from bridge._settings import ASGI_OPTIONS, VARIABLES, WSGI_OPTIONS
from bridge.cli.completion import SHELLS
from bridge.cli.main import EXIT_WRONG_INPUT
from bridge.cli.main import bridge as group
from bridge.detect import PROTOCOLS
from bridge.loading import NAMES, SUBMODULES
from bridge.serve.servers import SERVERS, Interface, Launch
from tests.docs.pages import TOP, code, table

COMMAND_LINE = "reference/command-line.md"
ENVIRONMENT = "reference/environment.md"
RECIPE = "recipes/serve-any-application.md"


def text_of(page: str) -> str:
    return (TOP / "docs" / page).read_text(encoding="utf-8")


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ---- Options of commands ----------------------------------------------------------------------------------------


def documented_options(command: str) -> list[str]:
    """Return the first column of the table of a command, as its help writes it."""
    return [", ".join(codes(row[0])).replace("\\|", "|") for row in table(COMMAND_LINE, f"Options of bridge {command}")]


def context_of(command: click.Command) -> click.Context:
    """Return the context of a command as the group makes it: what it says of help options is inherited."""
    return click.Context(command, parent=click.Context(group, **group.context_settings))


def options_of(command: click.Command) -> list[click.Option]:
    with context_of(command) as context:
        return [one for one in command.get_params(context) if isinstance(one, click.Option)]


@pytest.mark.parametrize("name", [name for name in ("serve", "doctor") if name in group.commands])
def test_every_option_of_a_command_is_in_its_table_and_no_other(name: str) -> None:
    command = group.commands[name]
    with context_of(command) as context:
        records = [one.get_help_record(context) for one in options_of(command)]

    assert documented_options(name) == [record[0] for record in records if record is not None]


@pytest.mark.parametrize("name", [name for name in ("serve", "doctor") if name in group.commands])
def test_the_default_of_an_option_is_the_one_in_the_table(name: str) -> None:
    shown = {
        "--" + codes(row[0])[-1].split()[0].removeprefix("--"): codes(row[1])
        for row in table(COMMAND_LINE, f"Options of bridge {name}")
    }

    for option in options_of(group.commands[name]):
        if option.show_default:
            assert shown[option.opts[-1]] == [str(option.default)]


def test_every_command_is_in_the_table_and_all_of_them_exist() -> None:
    named = {code(row[0]).removeprefix("bridge ") for row in table_after(COMMAND_LINE, "| Command |")}

    assert named == set(group.commands)


def test_the_shells_and_the_exit_code_of_wrong_input_are_the_ones_there_are() -> None:
    assert f"bridge completion [{'|'.join(SHELLS)}]" in text_of(COMMAND_LINE)
    assert [
        row[1].partition(":")[0] for row in table(COMMAND_LINE, "Exit codes") if row[0] == f"`{EXIT_WRONG_INPUT}`"
    ] == ["wrong input"]


@pytest.mark.parametrize("page", [COMMAND_LINE, RECIPE])
def test_the_examples_use_commands_options_and_servers_that_exist(page: str) -> None:
    lines = re.findall(r"^\$ (?:BRIDGE_\w+=\S+ )*(bridge serve .*)$", text_of(page), re.MULTILINE)
    assert len(lines) >= 5

    for line in lines:
        words = shlex.split(line, comments=True)[2:]
        ours = words[: words.index("--")] if "--" in words else words
        with group.commands["serve"].make_context("serve", list(ours)) as context:
            assert context.params["server"] in {None, *SERVERS}


def test_where_an_application_is_looked_for_is_said_in_the_order_of_the_search() -> None:
    text = text_of(COMMAND_LINE)

    names = next(line for line in text.splitlines() if line.startswith("Where no attribute is named"))
    modules = next(line for line in text.splitlines() if line.startswith("A package is looked through"))
    assert codes(names) == list(NAMES)
    assert codes(modules) == list(SUBMODULES)


# ---- Servers ----------------------------------------------------------------------------------------------------


def table_after(page: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose head begins so."""
    lines = text_of(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.removeprefix("|").removesuffix("|").split(" | ")])
    return rows


def test_the_table_of_servers_is_that_of_the_code() -> None:
    rows = table_after(COMMAND_LINE, "| Server | Speaks |")

    assert [(code(row[0]), row[1], code(row[2])) for row in rows] == [
        (kind.name, ", ".join(kind.protocols).upper(), f"pip install '{kind.distribution}'")
        for kind in SERVERS.values()
    ]
    for row, kind in zip(rows, SERVERS.values(), strict=True):
        assert kind.reload_needs is None or kind.reload_needs[1] in row[3]


def test_the_order_in_which_servers_are_picked_is_that_of_the_code() -> None:
    row = next(row for row in table(COMMAND_LINE, "Options of bridge serve") if "--server" in row[0])

    assert codes(row[2]) == list(SERVERS)


ROWS = [
    pytest.param(kind.name, interface, id=f"{kind.name}-{interface}")
    for kind in SERVERS.values()
    for interface in kind.protocols
]
ASKED: dict[str, dict[str, Any]] = {
    "--uds": {"uds": "/PATH"},
    "--workers": {"workers": 91},
    "--threads": {"threads": 92},
    "--reload": {"reload": True},
    "--log-level": {"log_level": "LEVEL"},
    "--root-path": {"root_path": "ROOT"},
}
COLUMNS = ["--host, --port", *ASKED]


def rendered(server: str, interface: Interface, **asked: Any) -> list[str]:
    """Return a command line in the words of the table."""
    launch = Launch(interface=interface, host="HOST", port=90, reload_dir="DIR", **asked)
    placed = {"90": "PORT", "HOST:90": "HOST:PORT", "91": "N", "92": "N", "--listen=HOST:90": "--listen=HOST:PORT"}
    return [placed.get(word, word).replace("/PATH", "PATH") for word in SERVERS[server].arguments(launch)]


def cells_of(server: str, interface: Interface) -> dict[str, list[str]]:
    """Return the words in the row of a server, by column; none for a dash."""
    kind = SERVERS[server]
    name = server if len(kind.protocols) == 1 else f"{server}, as {interface.upper()}"
    row = next(row for row in table(COMMAND_LINE, "What each server is given") if row[0] == name)
    cells = [[] if cell == "-" else code(cell).split() for cell in row[1:]]
    return dict(zip(["always", *COLUMNS], cells, strict=True))


def has(words: list[str], part: list[str]) -> bool:
    """Tell whether the part stands in the words, in one piece."""
    return any(words[start : start + len(part)] == part for start in range(len(words) - len(part) + 1))


def test_each_server_has_its_row_for_each_interface() -> None:
    named = [row[0] for row in table(COMMAND_LINE, "What each server is given")]

    assert named == [
        kind.name if len(kind.protocols) == 1 else f"{kind.name}, as {interface.upper()}"
        for kind in SERVERS.values()
        for interface in kind.protocols
    ]


@pytest.mark.parametrize(("server", "interface"), ROWS)
def test_each_cell_is_what_the_server_is_given(server: str, interface: Interface) -> None:
    cells = cells_of(server, interface)
    plain = rendered(server, interface)

    assert has(plain, cells["--host, --port"])
    assert has(plain, cells["always"])
    for option, asked in ASKED.items():
        ability = option[2:].replace("-", "_")
        assert bool(cells[option]) == SERVERS[server].can(ability, interface), option
        if cells[option]:
            assert has(rendered(server, interface, **asked), cells[option]), option
            assert not has(plain, cells[option]), option


@pytest.mark.parametrize(("server", "interface"), ROWS)
def test_a_row_has_every_option_a_server_is_ever_given(server: str, interface: Interface) -> None:
    able = [asked for option, asked in ASKED.items() if SERVERS[server].can(option[2:].replace("-", "_"), interface)]
    lines = [rendered(server, interface), *(rendered(server, interface, **asked) for asked in able)]
    given = {word.partition("=")[0] for line in lines for word in line if word.startswith("-")}
    in_the_row = {
        word.partition("=")[0]
        for words in cells_of(server, interface).values()
        for word in words
        if word.startswith("-")
    }

    assert given == in_the_row


def test_the_number_of_threads_without_being_asked_is_the_one_given() -> None:
    assert has(rendered("gunicorn", "wsgi"), ["--threads", "8"])
    assert has(rendered("uwsgi", "wsgi"), ["--threads", "8"])
    assert "get 8 threads if `--threads` is not given" in text_of(COMMAND_LINE)


# ---- Variables --------------------------------------------------------------------------------------------------


def test_every_variable_is_documented_on_both_pages_and_no_other() -> None:
    rows = table_after(ENVIRONMENT, "| Variable |")

    assert [code(row[0]) for row in rows] == list(VARIABLES)
    assert codes(next(row for row in rows if "BRIDGE_PROTOCOL" in row[0])[2]) == list(PROTOCOLS)
    ours = [code(row[0]) for row in table(COMMAND_LINE, "Variables") if "BRIDGE_" in row[0]]
    assert ours == list(VARIABLES)


def test_what_counts_as_a_switch_is_what_is_read_as_one() -> None:
    line = next(line for line in text_of(ENVIRONMENT).splitlines() if line.startswith("- A switch is"))

    assert codes(line) == list(_SWITCH)


def shown(value: object) -> str:
    """Return a default as one would write it in a variable."""
    if value is None:
        return "none"
    return str(int(value)) if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(
    ("adapter", "options", "heading"),
    [
        pytest.param(WSGIToASGI, ASGI_OPTIONS, "Options for a WSGI application", id="WSGIToASGI"),
        pytest.param(ASGIToWSGI, WSGI_OPTIONS, "Options for an ASGI application", id="ASGIToWSGI"),
    ],
)
def test_every_option_that_can_be_text_is_documented_with_its_values(adapter, options, heading: str) -> None:
    rows = table(ENVIRONMENT, heading)
    hints = get_type_hints(adapter.__init__)

    assert [code(row[0]) for row in rows] == list(options)
    for name, row in zip(options, rows, strict=True):
        default = inspect.signature(adapter).parameters[name].default
        assert row[2] == ("found out" if default is None else f"`{shown(default)}`"), name
        if options[name] is bool:
            assert row[1] == "a switch", name
        elif options[name] is int:
            assert row[1] == "a whole number", name
        else:
            assert set(codes(row[1])) == set(get_args(hints[name])), name


def test_every_limit_is_documented_with_its_kind_and_default() -> None:
    def kind_of(limit: dataclasses.Field[Any]) -> str:
        kind = "a number" if "float" in str(limit.type) else "a whole number"
        return f"{kind} or `none`" if "None" in str(limit.type) else kind

    assert table(ENVIRONMENT, "Limits as text") == [
        [f"`{limit.name}`", kind_of(limit), f"`{shown(limit.default)}`"] for limit in dataclasses.fields(Limits)
    ]
