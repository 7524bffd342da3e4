"""The ``tls`` extension from ``SSL_*`` variables, and that this is the other way of `ssl_variables_from_tls`.

The subset on which nothing is lost: numbers of versions and cipher suites that have a name here; text that is not empty
and holds no surrogate; a list of such text as the chain. A verdict is "no certificate", "verified" or the words of an
error.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.translate.tls import _CIPHER_NAMES, _PROTOCOL_NAMES, ssl_variables_from_tls, tls_from_ssl_variables
from tests.strategies import PROPERTY, hostile_texts, texts

HTTPS = {"wsgi.url_scheme": "https"}
NOTHING = {
    "server_cert": None,
    "client_cert_chain": [],
    "client_cert_name": None,
    "client_cert_error": None,
    "tls_version": None,
    "cipher_suite": None,
}
SPEAKING = ["SSL_PROTOCOL", "SSL_CIPHER", "SSL_SERVER_CERT", "SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "SSL_CLIENT_VERIFY"]


def tls_of(**variables):
    """Return the extension for these variables on https."""
    return tls_from_ssl_variables(HTTPS | variables)


@pytest.mark.requirement("A-038")
def test_the_variables_of_mod_ssl_become_a_full_extension():
    environ = HTTPS | {
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_SERVER_CERT": "server pem",
        "SSL_CLIENT_CERT": "client pem",
        "SSL_CLIENT_CERT_CHAIN_0": "issuer pem",
        "SSL_CLIENT_CERT_CHAIN_1": "root pem",
        "SSL_CLIENT_S_DN": "CN=client,O=Shop",
        "SSL_CLIENT_VERIFY": "SUCCESS",
        "SSL_SESSION_ID": "abc",
        "SSL_SERVER_S_DN": "CN=shop.example",
    }
    before = dict(environ)

    assert tls_from_ssl_variables(environ) == {
        "server_cert": "server pem",
        "client_cert_chain": ["client pem", "issuer pem", "root pem"],
        "client_cert_name": "CN=client,O=Shop",
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }
    assert environ == before


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize("scheme", ["http", "", None, "HTTPS", "ws"], ids=repr)
def test_what_is_not_https_has_no_extension(scheme):
    assert tls_from_ssl_variables({"wsgi.url_scheme": scheme, "SSL_PROTOCOL": "TLSv1.3"}) is None


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({}, id="none"),
        pytest.param({"HTTPS": "on"}, id="HTTPS alone"),
        pytest.param(dict.fromkeys(SPEAKING, ""), id="empty"),
        pytest.param(dict.fromkeys(SPEAKING), id="None"),
        pytest.param(dict.fromkeys(SPEAKING, 5), id="numbers"),
        pytest.param(dict.fromkeys(SPEAKING, b"TLSv1.3"), id="octets"),
        pytest.param({"SSL_SESSION_ID": "abc", "SSL_VERSION_LIBRARY": "OpenSSL"}, id="others"),
        pytest.param({"HTTP_SSL_PROTOCOL": "TLSv1.3", "HTTP_X_SSL_CLIENT_CERT": "pem"}, id="fields of the request"),
    ],
)
def test_https_without_a_known_variable_has_no_extension(variables):
    assert tls_of(**variables) is None


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    ("variables", "known"),
    [
        ({"SSL_PROTOCOL": "TLSv1.2"}, {"tls_version": 0x0303}),
        ({"SSL_CIPHER": "ECDHE-RSA-AES128-GCM-SHA256"}, {"cipher_suite": 0xC02F}),
        ({"SSL_SERVER_CERT": "pem"}, {"server_cert": "pem"}),
        ({"SSL_CLIENT_CERT": "pem"}, {"client_cert_chain": ["pem"]}),
        ({"SSL_CLIENT_S_DN": "CN=x"}, {"client_cert_name": "CN=x"}),
        ({"SSL_CLIENT_VERIFY": "NONE"}, {}),
        ({"SSL_PROTOCOL": "TLSv9"}, {}),
        ({"SSL_CIPHER": "ROT13"}, {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_one_variable_is_enough_and_the_others_are_none(variables, known):
    assert tls_of(**variables) == NOTHING | known


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    ("verdict", "error"),
    [
        ("NONE", None),
        ("SUCCESS", None),
        ("GENEROUS", None),
        ("", None),
        ("FAILED:certificate has expired", "certificate has expired"),
        ("FAILED:FAILED: twice", "FAILED: twice"),
    ],
)
def test_an_error_is_what_follows_failed(verdict, error):
    assert tls_of(SSL_PROTOCOL="TLSv1.3", SSL_CLIENT_VERIFY=verdict)["client_cert_error"] == error


@pytest.mark.requirement("A-038")
@pytest.mark.parametrize(
    ("variables", "chain"),
    [
        pytest.param({"SSL_CLIENT_CERT_CHAIN_0": "b"}, [], id="no certificate in front"),
        pytest.param({"SSL_CLIENT_CERT": "a", "SSL_CLIENT_CERT_CHAIN_1": "c"}, ["a"], id="a gap"),
        pytest.param({"SSL_CLIENT_CERT": "a", "SSL_CLIENT_CERT_CHAIN_0": ""}, ["a"], id="empty"),
        pytest.param({"SSL_CLIENT_CERT": "a", "SSL_CLIENT_CERT_CHAIN_0": None}, ["a"], id="None"),
        pytest.param({"SSL_CLIENT_CERT": "a", "SSL_CLIENT_CERT_CHAIN_0": 5}, ["a"], id="a number"),
        pytest.param({"SSL_CLIENT_CERT": "a", "SSL_CLIENT_CERT_CHAIN_0": "a"}, ["a", "a"], id="the same twice"),
    ],
)
def test_the_chain_goes_as_far_as_it_is_known(variables, chain):
    assert tls_of(SSL_PROTOCOL="TLSv1.3", **variables)["client_cert_chain"] == chain


@pytest.mark.requirement("A-022", "A-038")
@pytest.mark.parametrize(
    ("native", "text"),
    [
        pytest.param("CN=Zo\xc3\xab", "CN=Zoë", id="UTF-8"),
        pytest.param("CN=\xc3\x83\xc2\xab", "CN=Ã«", id="UTF-8 that looks like UTF-8 once more"),
        pytest.param("CN=\xff", "CN=\ufffd", id="no UTF-8"),
        pytest.param("CN=\u20ac", "CN=€", id="text of a careless server"),
        pytest.param("CN=\udcff", "CN=\ufffd", id="a lone surrogate"),
    ],
)
@pytest.mark.parametrize(
    ("variable", "key"),
    [
        ("SSL_SERVER_CERT", "server_cert"),
        ("SSL_CLIENT_S_DN", "client_cert_name"),
        ("SSL_CLIENT_CERT", "client_cert_chain"),
        ("SSL_CLIENT_CERT_CHAIN_0", "client_cert_chain"),
        ("SSL_CLIENT_VERIFY", "client_cert_error"),
    ],
    ids=lambda name: name,
)
def test_text_is_read_as_utf8_once(variable, key, native, text):
    value = f"FAILED:{native}" if key == "client_cert_error" else native

    found = tls_of(**{"SSL_CLIENT_CERT": "pem", variable: value})[key]

    assert (found[-1] if key == "client_cert_chain" else found) == text


@pytest.mark.requirement("A-034", "A-038")
def test_each_extension_is_new():
    variables = {"SSL_CLIENT_CERT": "pem"}
    first, second = tls_of(**variables), tls_of(**variables)

    first["client_cert_chain"].clear()
    first.clear()

    assert second == NOTHING | {"client_cert_chain": ["pem"]}


# ---- Both ways --------------------------------------------------------------------------------------------------

_WORDS = texts().filter(bool)


@pytest.mark.requirement("A-038", "W-062", "W-063")
@given(
    tls=st.fixed_dictionaries(
        {
            "server_cert": st.none() | _WORDS,
            "client_cert_chain": st.lists(_WORDS, max_size=3),
            "client_cert_name": st.none() | _WORDS,
            "client_cert_error": st.none() | _WORDS,
            "tls_version": st.none() | st.sampled_from(sorted(_PROTOCOL_NAMES)),
            "cipher_suite": st.none() | st.sampled_from(sorted(_CIPHER_NAMES)),
        }
    )
)
@PROPERTY
def test_an_extension_comes_back_from_its_variables(tls):
    assert tls_from_ssl_variables(HTTPS | ssl_variables_from_tls(tls)) == tls


@pytest.mark.requirement("A-038", "W-062")
@pytest.mark.parametrize("names", [_PROTOCOL_NAMES, _CIPHER_NAMES], ids=["versions", "cipher suites"])
def test_each_name_stands_for_one_number(names):
    assert len(set(names.values())) == len(names)


@pytest.mark.requirement("A-010", "A-038")
@given(
    variables=st.dictionaries(
        st.sampled_from([*SPEAKING, "SSL_CLIENT_CERT_CHAIN_0", "SSL_CLIENT_CERT_CHAIN_1"]),
        st.one_of(hostile_texts(), hostile_texts().map("FAILED:".__add__), st.sampled_from([None, 5, b"x", [], True])),
    )
)
@PROPERTY
def test_any_variables_give_an_extension_of_the_right_types_or_none(variables):
    tls = tls_from_ssl_variables(HTTPS | variables)

    if tls is None:
        assert not any(isinstance(variables.get(key), str) and variables[key] for key in SPEAKING)
        return
    assert tls.keys() == NOTHING.keys()
    for text in [*tls["client_cert_chain"], *(tls[key] for key in ("server_cert", "client_cert_name"))]:
        assert text is None or text.encode("utf-8")
    assert type(tls["client_cert_chain"]) is list
    assert tls["client_cert_error"] is None or type(tls["client_cert_error"]) is str
    assert tls["tls_version"] in {None, *_PROTOCOL_NAMES}
    assert tls["cipher_suite"] in {None, *_CIPHER_NAMES}
