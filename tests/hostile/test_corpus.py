"""The fuzzer's corpus, without the fuzzer: each input it has kept through the same oracles, in each run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import BadRequest
from bridge.translate import ASGIResponse, ResponseState
from bridge.translate.environ import environ_from_scope
from bridge.translate.fields import checked_fields
from bridge.translate.scope import scope_from_environ
from bridge.translate.websocket_handshake import switching_head
from fuzz import __main__ as runner
from fuzz.reading import Reader, WrongResultError, written
from fuzz.targets import TARGETS, corpus_of

each_target = pytest.mark.parametrize("target", TARGETS)


def complaints_of(target: str) -> list[str]:
    """Run the corpus of a target; return what is wrong."""
    complaints: list[str] = []
    for path in sorted(corpus_of(target).iterdir()):
        try:
            TARGETS[target](path.read_bytes())
        except Exception as error:
            complaints.append(f"python -m fuzz --replay {target} {path}\n    {type(error).__name__}: {error}")
    return complaints


@pytest.mark.requirement("W-010", "W-013", "W-031", "W-096", "A-010", "A-062", "A-127", "A-131")
@each_target
def test_every_input_of_the_corpus_gives_what_its_oracle_says(target: str) -> None:
    assert not (complaints := complaints_of(target)), "\n".join(complaints)


@each_target
def test_every_target_has_a_corpus_of_small_files(target: str) -> None:
    sizes = [path.stat().st_size for path in corpus_of(target).iterdir()]

    assert 20 <= len(sizes) <= 150
    assert max(sizes) <= 1024


# ---- The oracles can fail: code with one rule left out is noticed by the corpus -------------------------------------


def environ_with_underscores(scope: Any, **options: Any) -> Any:
    """Let ``X_User`` into ``HTTP_X_USER``."""
    headers = [(name.replace(b"_", b"-"), value) for name, value in scope["headers"]]
    return environ_from_scope(scope | {"headers": headers}, **options)


def environ_with_any_prefix(scope: Any, **options: Any) -> Any:
    """Take ``/app`` off ``/application``."""
    environ = environ_from_scope(scope, **options)
    root = environ["SCRIPT_NAME"]
    if root and environ["PATH_INFO"].startswith(root):
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(root)
    return environ


def environ_that_refuses_nothing(scope: Any, **options: Any) -> Any:
    """Answer what must be refused."""
    try:
        return environ_from_scope(scope, **options)
    except BadRequest:
        return environ_from_scope(scope | {"headers": [], "path": "/", "root_path": ""}, **options)


def scope_decoded_twice(environ: Any) -> Any:
    """Decode ``%41`` once more."""
    scope = scope_from_environ(environ)
    return {**scope, "path": scope["path"].replace("%41", "A")}


def scope_with_open_prefix(environ: Any) -> Any:
    """Leave the prefix out of the path."""
    return scope_from_environ({**environ, "SCRIPT_NAME": ""})


class ResponseWithoutChecks(ResponseState):
    """Forget what was announced."""

    def data(self, block: bytes) -> bytes:
        super().data(block)
        return block


class ASGIResponseWithoutEnd(ASGIResponse):
    """Send content of responses that carry none."""

    def body(self, message: Any) -> bytes:
        super().body(message)
        return bytes(message.get("body", b""))


def split_head(*arguments: Any, **options: Any) -> bytes:
    """Write one field more."""
    return switching_head(*arguments, **options)[:-2] + b"X: 1\r\n\r\n"


def fields_without_checks(headers: Any, **options: Any) -> Any:
    """Let line breaks through."""
    return checked_fields([(n.strip("\r\n"), v.replace("\r\n", " ")) for n, v in headers], strict=False, **options)


SABOTAGE = [
    pytest.param("environ", "environ_from_scope", environ_with_underscores, id="underscores"),
    pytest.param("environ", "environ_from_scope", environ_with_any_prefix, id="prefix"),
    pytest.param("environ", "environ_from_scope", environ_that_refuses_nothing, id="no refusal"),
    pytest.param("scope", "scope_from_environ", scope_decoded_twice, id="decoded twice"),
    pytest.param("scope", "scope_from_environ", scope_with_open_prefix, id="no prefix"),
    pytest.param("fields", "fields_from_headers", fields_without_checks, id="splitting"),
    pytest.param("wsgi_response", "ResponseState", ResponseWithoutChecks, id="too long"),
    pytest.param("asgi_response", "ASGIResponse", ASGIResponseWithoutEnd, id="content of HEAD"),
    pytest.param("websocket", "switching_head", split_head, id="a field more"),
]


@pytest.mark.parametrize(("target", "name", "broken"), SABOTAGE)
def test_the_corpus_notices_code_with_a_rule_left_out(
    target: str, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module(f"fuzz.{target}")
    monkeypatch.setattr(module, name, broken)

    assert "WrongResultError" in "".join(complaints_of(target))


# ---- The format and the runner --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [[], [b"a"], [b"a", b"", b"b"], [b"|", b"\\", b"\\|\\"], [b"\0\r\n\xff"]],
    ids=["none", "one", "empty", "special", "octets"],
)
def test_an_input_is_read_as_it_was_written(fields: list[bytes]) -> None:
    reader = Reader(written(*fields))

    assert [reader.octets() for _ in fields] == fields
    assert not reader.has_more
    assert reader.octets() == b""


def test_without_the_fuzzer_the_runner_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "find_spec", lambda name: None)

    assert runner.main(["--seconds", "1"]) == 2

    assert "pip install atheris" in capsys.readouterr().out


def test_a_replay_says_whether_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reproducer = tmp_path / "input"
    reproducer.write_bytes(b"0|0|/app|/x")

    assert runner.main(["--replay", "environ", str(reproducer)]) == 0
    assert "all is well" in capsys.readouterr().out

    def fail(data: bytes) -> None:
        raise WrongResultError(f"what is wrong with {data!r}")

    monkeypatch.setitem(TARGETS, "environ", fail)
    assert runner.main(["--replay", "environ", str(reproducer)]) == 1
    assert "what is wrong with b'0|0|/app|/x'" in capsys.readouterr().out
    assert runner.main(["--replay", "nothing", str(reproducer)]) == 2


def test_replaying_needs_no_fuzzer() -> None:
    assert "fuzz.one" not in sys.modules
