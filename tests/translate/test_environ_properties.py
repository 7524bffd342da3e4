"""What holds for every environ: its types under any octets, the lint's opinion, and that no part of the URL is lost."""

from __future__ import annotations

import copy
import io
import warnings
from urllib.parse import quote, unquote_to_bytes
from wsgiref.validate import check_environ

import pytest
from hypothesis import given

from bridge.errors import BadRequest
from bridge.translate import environ_from_scope
from tests.strategies import PROPERTY, hostile_scopes, scopes, visits


def reconstructed_url(environ: dict) -> str:
    """Return the URL that PEP 3333, "URL Reconstruction", tells applications to compute."""
    scheme = environ["wsgi.url_scheme"]
    authority = environ.get("HTTP_HOST")
    if not authority:
        default_port = {"http": "80", "https": "443"}[scheme]
        has_own_port = environ["SERVER_PORT"] != default_port
        authority = environ["SERVER_NAME"] + (f":{environ['SERVER_PORT']}" if has_own_port else "")
    # The PEP's text predates Python 3; "bytes as unicode" must be quoted as the octets it stands for.
    script_name, path_info = (quote(environ.get(key, ""), encoding="latin-1") for key in ("SCRIPT_NAME", "PATH_INFO"))
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    return f"{scheme}://{authority}{script_name}{path_info}{query}"


@pytest.mark.requirement("W-018", "W-019", "W-022", "W-023", "W-031", "W-034", "W-036")
@given(visit=visits())
@PROPERTY
def test_the_url_algorithm_of_the_pep_gives_back_the_requested_url(visit):
    assert reconstructed_url(environ_from_scope(visit.scope)) == visit.url


@pytest.mark.requirement("W-032")
@given(visit=visits())
@PROPERTY
def test_environ_keeps_all_that_a_scope_is_made_of(visit):
    """The lossless subset: no lone surrogates, and ``raw_path`` where the path is not UTF-8 (see `visits`)."""
    environ = environ_from_scope(visit.scope)

    octets = (environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1")
    assert octets == unquote_to_bytes(visit.raw_target)
    assert environ["SCRIPT_NAME"].encode("latin-1").decode() == visit.root_path
    assert environ["QUERY_STRING"].encode("latin-1") == visit.scope["query_string"]
    if visit.scope["raw_path"]:
        target, _, _ = environ["REQUEST_URI"].encode("latin-1").partition(b"?")
        assert target == visit.scope["raw_path"].partition(b"?")[0]


@pytest.mark.requirement("W-004", "W-010", "W-011", "W-012", "W-041", "W-051")
@given(scope=scopes())
@PROPERTY
def test_wsgiref_finds_nothing_wrong_with_any_environ(scope):
    before = copy.deepcopy(scope)

    environ = environ_from_scope(scope)

    environ["wsgi.input"], environ["wsgi.errors"] = io.BytesIO(), io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_environ(environ)
    assert None not in environ.values()
    assert scope == before


@pytest.mark.requirement("W-010", "W-013", "W-024", "W-033", "W-046")
@given(scope=hostile_scopes())
@PROPERTY
def test_any_octets_make_a_latin1_environ_or_a_bad_request(scope):
    try:
        environ = environ_from_scope(scope)
    except BadRequest:
        return
    for key, value in environ.items():
        if "." not in key or key.startswith("HTTP_"):
            assert type(value) is str, key
            octets = value.encode("latin-1")
            if key.startswith("HTTP_"):
                assert octets == octets.translate(None, b"\r\n\0"), key
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"].isdigit()
    assert environ["SCRIPT_NAME"][:1] in ("", "/")
    assert environ["SCRIPT_NAME"][-1:] != "/"
    assert environ.get("CONTENT_LENGTH", "0").isdigit()
