"""The ASGI ``tls`` extension and the ``SSL_*`` variables of Apache's mod_ssl, both ways.

Only these two speak here; nothing is derived from request fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.translate.strings import native_from_text, text_from_native

# ASGI TLS "TLS Connection Scope": version numbers as on the wire.
_PROTOCOL_NAMES = {
    0x0300: "SSLv3",
    0x0301: "TLSv1",
    0x0302: "TLSv1.1",
    0x0303: "TLSv1.2",
    0x0304: "TLSv1.3",
}
# The cipher suites of TLS 1.3 and the usual ones of 1.2 (IANA "TLS Cipher Suites"), under OpenSSL's names.
_CIPHER_NAMES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0x009C: "AES128-GCM-SHA256",
    0x009D: "AES256-GCM-SHA384",
    0x002F: "AES128-SHA",
    0x0035: "AES256-SHA",
    0xC009: "ECDHE-ECDSA-AES128-SHA",
    0xC00A: "ECDHE-ECDSA-AES256-SHA",
    0xC013: "ECDHE-RSA-AES128-SHA",
    0xC014: "ECDHE-RSA-AES256-SHA",
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305",
    0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
}

_PROTOCOL_NUMBERS = {name: number for number, name in _PROTOCOL_NAMES.items()}
_CIPHER_NUMBERS = {name: number for number, name in _CIPHER_NAMES.items()}
_FAILED = "FAILED:"
_SPEAKING = ("SSL_PROTOCOL", "SSL_CIPHER", "SSL_SERVER_CERT", "SSL_CLIENT_CERT", "SSL_CLIENT_S_DN", "SSL_CLIENT_VERIFY")


def ssl_variables_from_tls(tls: Mapping[str, Any]) -> dict[str, str]:
    """Return the ``SSL_*`` variables for a ``tls`` extension; values that are not known are left out.

    Args:
        tls: ``scope["extensions"]["tls"]``; text is ``str``, certificates are PEM text.

    Spec: ASGI TLS "TLS Connection Scope"; W-062 to W-064.
    """
    variables: dict[str, str] = {}

    def add(key: str, text: object) -> None:
        if isinstance(text, str) and text:
            variables[key] = native_from_text(text)

    add("SSL_PROTOCOL", _PROTOCOL_NAMES.get(_number(tls.get("tls_version"))))
    add("SSL_CIPHER", _CIPHER_NAMES.get(_number(tls.get("cipher_suite"))))
    add("SSL_SERVER_CERT", tls.get("server_cert"))
    chain = [certificate for certificate in tls.get("client_cert_chain") or () if certificate]
    if chain:
        add("SSL_CLIENT_CERT", chain[0])
        for number, certificate in enumerate(chain[1:]):
            add(f"SSL_CLIENT_CERT_CHAIN_{number}", certificate)
    add("SSL_CLIENT_S_DN", tls.get("client_cert_name"))
    error = tls.get("client_cert_error")
    if isinstance(error, str) and error:
        add("SSL_CLIENT_VERIFY", f"{_FAILED}{error}")
    else:
        add("SSL_CLIENT_VERIFY", "SUCCESS" if chain or tls.get("client_cert_name") else "NONE")
    return variables


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def tls_from_ssl_variables(environ: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ``tls`` extension for an environ, or None where it is not https or nothing is known.

    Returns:
        ``server_cert``, ``tls_version`` and ``cipher_suite`` (numbers as on the wire) are always there, None where
        they are not known; certificates are PEM text.

    Spec: ASGI TLS "When to use this extension", "TLS Connection Scope"; A-038.
    """
    if environ.get("wsgi.url_scheme") != "https":
        return None
    known: dict[str, str] = {}
    for key in _SPEAKING:
        value = environ.get(key)
        if isinstance(value, str) and value:
            known[key] = text_from_native(value)
    if not known:
        return None
    chain: list[str] = []
    certificate: object = environ.get("SSL_CLIENT_CERT")
    while isinstance(certificate, str) and certificate:
        chain.append(text_from_native(certificate))
        certificate = environ.get(f"SSL_CLIENT_CERT_CHAIN_{len(chain) - 1}")
    verified = known.get("SSL_CLIENT_VERIFY", "")
    return {
        "server_cert": known.get("SSL_SERVER_CERT"),
        "client_cert_chain": chain,
        "client_cert_name": known.get("SSL_CLIENT_S_DN"),
        "client_cert_error": verified.removeprefix(_FAILED) if verified.startswith(_FAILED) else None,
        "tls_version": _PROTOCOL_NUMBERS.get(known.get("SSL_PROTOCOL", "")),
        "cipher_suite": _CIPHER_NUMBERS.get(known.get("SSL_CIPHER", "")),
    }
