"""The ``tls`` extension as ``SSL_*`` variables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.translate.tls import ssl_variables_from_tls
from tests.strategies import PROPERTY, hostile_texts

NAME = "CN=client,O=Shop"


def variables_but_verify(tls):
    """Return the variables without ``SSL_CLIENT_VERIFY``, which is always there."""
    variables = ssl_variables_from_tls(tls)
    del variables["SSL_CLIENT_VERIFY"]
    return variables


@pytest.mark.requirement("W-062")
def test_a_full_extension_becomes_the_names_of_mod_ssl():
    tls = {
        "server_cert": "server pem",
        "client_cert_chain": ["client pem", "issuer pem", "root pem"],
        "client_cert_name": NAME,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": 0x1301,
    }

    assert ssl_variables_from_tls(tls) == {
        "SSL_PROTOCOL": "TLSv1.3",
        "SSL_CIPHER": "TLS_AES_128_GCM_SHA256",
        "SSL_SERVER_CERT": "server pem",
        "SSL_CLIENT_CERT": "client pem",
        "SSL_CLIENT_CERT_CHAIN_0": "issuer pem",
        "SSL_CLIENT_CERT_CHAIN_1": "root pem",
        "SSL_CLIENT_S_DN": NAME,
        "SSL_CLIENT_VERIFY": "SUCCESS",
    }


@pytest.mark.requirement("W-062")
@pytest.mark.parametrize(
    ("version", "name"),
    [(0x0300, "SSLv3"), (0x0301, "TLSv1"), (0x0302, "TLSv1.1"), (0x0303, "TLSv1.2"), (0x0304, "TLSv1.3")],
)
def test_versions_have_the_names_of_mod_ssl(version, name):
    assert variables_but_verify({"tls_version": version}) == {"SSL_PROTOCOL": name}


@pytest.mark.requirement("W-062")
@pytest.mark.parametrize(
    ("suite", "name"),
    [
        (0x1302, "TLS_AES_256_GCM_SHA384"),
        (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
        (0xC02F, "ECDHE-RSA-AES128-GCM-SHA256"),
        (0xCCA9, "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ],
)
def test_cipher_suites_have_the_names_of_openssl(suite, name):
    assert variables_but_verify({"cipher_suite": suite}) == {"SSL_CIPHER": name}


@pytest.mark.requirement("W-063")
@pytest.mark.parametrize(
    ("tls", "verify"),
    [
        pytest.param({}, "NONE", id="nothing"),
        pytest.param({"client_cert_chain": [], "client_cert_name": None}, "NONE", id="neither certificate nor name"),
        pytest.param({"client_cert_chain": ["pem"]}, "SUCCESS", id="certificate"),
        pytest.param({"client_cert_name": NAME}, "SUCCESS", id="name"),
        pytest.param({"client_cert_name": NAME, "client_cert_error": ""}, "SUCCESS", id="empty error"),
        pytest.param({"client_cert_error": "expired"}, "FAILED:expired", id="error alone"),
        pytest.param({"client_cert_chain": ["pem"], "client_cert_error": "expired"}, "FAILED:expired", id="error wins"),
    ],
)
def test_the_verdict_says_none_success_or_failed(tls, verify):
    assert ssl_variables_from_tls(tls)["SSL_CLIENT_VERIFY"] == verify


@pytest.mark.requirement("W-064")
@pytest.mark.parametrize(
    "tls",
    [
        pytest.param({}, id="missing"),
        pytest.param(
            dict.fromkeys(
                [
                    *["server_cert", "client_cert_chain", "client_cert_name", "client_cert_error"],
                    "tls_version",
                    "cipher_suite",
                ]
            ),
            id="None",
        ),
        pytest.param({"server_cert": "", "client_cert_name": "", "client_cert_chain": ["", None]}, id="empty"),
        pytest.param({"tls_version": 0x7F1C, "cipher_suite": 0xFFFF}, id="unknown numbers"),
        pytest.param({"tls_version": "TLSv1.3", "cipher_suite": "AES"}, id="text where a number belongs"),
        pytest.param({"server_cert": b"pem", "client_cert_error": 7}, id="no text where text belongs"),
    ],
)
def test_values_that_are_not_known_are_left_out(tls):
    assert ssl_variables_from_tls(tls) == {"SSL_CLIENT_VERIFY": "NONE"}


@pytest.mark.requirement("W-062", "W-064")
def test_empty_certificates_do_not_take_a_place_in_the_chain():
    assert variables_but_verify({"client_cert_chain": (None, "client pem", "", "issuer pem")}) == {
        "SSL_CLIENT_CERT": "client pem",
        "SSL_CLIENT_CERT_CHAIN_0": "issuer pem",
    }


@pytest.mark.requirement("W-010", "W-064")
def test_text_beyond_latin1_is_utf8_read_as_latin1():
    variables = ssl_variables_from_tls({"client_cert_name": "CN=Zoë,O=€", "client_cert_error": "не"})

    assert variables["SSL_CLIENT_S_DN"] == "CN=Zo\xc3\xab,O=\xe2\x82\xac"
    assert variables["SSL_CLIENT_VERIFY"].encode("latin-1").decode() == "FAILED:не"


@pytest.mark.requirement("W-010", "W-064")
@given(
    tls=st.fixed_dictionaries(
        {},
        optional={
            "server_cert": hostile_texts(),
            "client_cert_chain": st.lists(st.none() | hostile_texts(), max_size=3),
            "client_cert_name": st.none() | hostile_texts(),
            "client_cert_error": st.none() | hostile_texts(),
            "tls_version": st.none() | st.integers(),
            "cipher_suite": st.none() | st.integers(),
        },
    )
)
@PROPERTY
def test_any_extension_makes_latin1_ssl_variables_or_a_bad_request(tls):
    try:
        variables = ssl_variables_from_tls(tls)
    except BadRequest:
        return
    for key, value in variables.items():
        assert key.startswith("SSL_")
        assert type(value) is str
        assert value.encode("latin-1")
