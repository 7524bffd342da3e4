"""Does what a page says, as a reader would: saves its files in an empty folder, types its commands, compares answers.

Of what is on the page only the port is changed, because another server may have 8000; and what installs or makes
folders is left out. A program that the page shows is taken from the page.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.pages import TOP
from tests.examples.running import environment, started
from tests.integration.servers import HOST, Server, free_port

CURL: Final = shutil.which("curl")
CURL_S: Final = 20
COMMAND_S: Final = 50
"""What one request, and one other command, may take; importing frameworks takes seconds on a busy machine."""

ANSWERS: Final = {
    "DJANGO_SUPERUSER_USERNAME": "ann",
    "DJANGO_SUPERUSER_EMAIL": "ann@example.com",
    "DJANGO_SUPERUSER_PASSWORD": "only for a test",
}
"""What a reader types when Django's ``createsuperuser`` asks."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a page, and what the page says that it prints."""

    line: str
    said: str


def steps_of(page: Path) -> Iterator[Step]:
    """Yield the commands of a page's console blocks, in order."""
    for block in blocks_of(page):
        if block.language == "console":
            for part in ("\n" + block.text).split("\n$ ")[1:]:
                line, _, said = part.partition("\n")
                yield Step(line, said)


@dataclass(slots=True)
class Follower:
    """Who follows a page: the folder, the server that runs, and the streams that are being listened to."""

    directory: Path
    server: Server | None = None
    served: int = 0
    compared: int = 0
    streams: list[tuple[subprocess.Popen[str], str]] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def do(self, step: Step) -> None:
        """Do one step; what is not known fails, so that nothing on a page is passed over."""
        words = shlex.split(step.line)
        variables = {}
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            variables[name] = value
        match words:
            case ["pip" | "mkdir" | "cd" | ".", *_] | ["python3", "-m", "venv", _]:
                pass
            case ["uvicorn" | "gunicorn" | "waitress-serve", *_]:
                self.serve(words, variables)
            case ["curl", *_]:
                self.ask(words, step.said)
            case ["python" | "pytest", *_]:
                self.run(words)
            case _:
                pytest.fail(f"nobody knows how to follow {step.line!r}")

    def serve(self, words: list[str], variables: dict[str, str]) -> None:
        """Start a server, as Ctrl-C and the next command would."""
        self.stop()
        port = free_port()
        program, *options = [word.replace(":8000", f":{port}") for word in words]
        options += {"uvicorn": ["--port", str(port)], "waitress-serve": []}.get(
            program, ["-b", f"{HOST}:{port}", "--no-control-socket"]
        )
        module = program.removesuffix("-serve")
        command = [sys.executable, "-m", module, *options]
        known = environment(self.directory, **variables)
        self.server = self._stack.enter_context(
            started(self.directory, f"{module}-{self.served}", command, port, known)
        )
        self.served += 1

    def ask(self, words: list[str], said: str) -> None:
        """Run curl, and compare what it prints; of a stream wait for the beginning only."""
        assert self.server, "nothing is served yet"
        command = [word.replace(":8000", f":{self.server.port}") for word in words[1:]]
        known = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        if "-N" in command:
            stream = subprocess.Popen([CURL, "-sS", *command], stdout=subprocess.PIPE, text=True, env=known)
            self.streams.append((stream, said))
            assert stream.stdout.readline() == said.splitlines(keepends=True)[0]
            return
        done = subprocess.run(
            [CURL, "-sS", *command],
            cwd=self.directory,
            env=known,
            capture_output=True,
            text=True,
            timeout=CURL_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.server.log()}"
        assert done.stdout.strip("\n") == said.strip("\n"), command
        self.compared += 1

    def run(self, words: list[str]) -> None:
        """Run a program of Python's to its end."""
        module = ["-m", "pytest", "-p", "no:cacheprovider"] if words[0] == "pytest" else []
        no_questions = ["--noinput"] if words[-1] == "createsuperuser" else []
        done = subprocess.run(
            [sys.executable, *module, *words[1:], *no_questions],
            cwd=self.directory,
            env=environment(self.directory, **ANSWERS),
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """Hear the streams out as far as the page shows them, and end the server: nothing went wrong in it."""
        for stream, said in self.streams:
            try:
                rest = said.splitlines(keepends=True)[1:]
                assert [stream.stdout.readline() for _ in rest] == rest
                self.compared += 1
            finally:
                hang_up(stream)
        self.streams.clear()
        if self.server:
            self._stack.close()
            assert "Traceback" not in self.server.log(), self.server.log()
            self.server = None

    def close(self) -> None:
        """End everything, whatever has happened."""
        for stream, _ in self.streams:
            hang_up(stream)
        self._stack.close()


def hang_up(stream: subprocess.Popen[str]) -> None:
    """End a client that listens."""
    stream.kill()
    stream.wait()
    stream.stdout.close()


def follow(page: str, directory: Path) -> Follower:
    """Follow a page below ``docs/`` from the first line to the last; return what was done."""
    if CURL is None:
        pytest.skip("the pages ask with curl")
    path = TOP / "docs" / page
    for block in blocks_of(path):
        if block.title:
            (directory / Path(block.title).name).write_text(block.text, encoding="utf-8")
    follower = Follower(directory)
    try:
        for step in steps_of(path):
            follower.do(step)
        follower.stop()
    finally:
        follower.close()
    return follower
