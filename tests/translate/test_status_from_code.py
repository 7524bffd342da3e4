"""Status codes to status lines: the registered reason, or one that says which class it is."""

from __future__ import annotations

import pytest

from bridge.translate import code_from_status, status_from_code


@pytest.mark.requirement("A-004", "A-072")
@pytest.mark.parametrize("hundred", range(200, 1000, 100))
def test_every_code_has_a_line_that_strict_servers_take(hundred):
    for code in range(hundred, hundred + 100):
        line = status_from_code(code)

        assert type(line) is str
        assert line[:4] == f"{code} "
        assert code_from_status(line, strict=True) == code


@pytest.mark.requirement("A-072")
@pytest.mark.parametrize(
    "line",
    [
        *["200 OK", "201 Created", "204 No Content", "206 Partial Content", "226 IM Used"],
        *["301 Moved Permanently", "302 Found", "303 See Other", "304 Not Modified", "308 Permanent Redirect"],
        *["400 Bad Request", "404 Not Found", "405 Method Not Allowed", "413 Content Too Large", "414 URI Too Long"],
        *["416 Range Not Satisfiable", "421 Misdirected Request", "422 Unprocessable Content", "425 Too Early"],
        *["429 Too Many Requests", "451 Unavailable For Legal Reasons", "500 Internal Server Error"],
        *["503 Service Unavailable", "511 Network Authentication Required"],
    ],
)
def test_a_registered_code_has_its_reason_whatever_python_calls_it(line):
    assert status_from_code(int(line[:3])) == line


@pytest.mark.requirement("A-072")
@pytest.mark.parametrize(
    ("code", "line"),
    [
        (299, "299 Success"),
        (399, "399 Redirection"),
        (499, "499 Client Error"),
        (599, "599 Server Error"),
        (600, "600 Unknown"),
        (999, "999 Unknown"),
    ],
)
def test_any_other_code_has_the_reason_of_its_class(code, line):
    assert status_from_code(code) == line
