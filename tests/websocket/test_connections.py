"""Taking a connection over, without a server: pairs of sockets, and environs as the servers make them."""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from bridge.websocket.asgi_hosting.connections import find_connection

TIMEOUT_S = 20.0


class Pair:
    """The server's end of a connection, and the client's."""

    def __init__(self) -> None:
        self.server, self.client = socket.socketpair()
        self.client.settimeout(TIMEOUT_S)

    def close(self) -> None:
        self.server.close()
        self.client.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


class FakeUWSGI:
    """The module that uWSGI puts into the processes it runs."""

    def __init__(self, descriptor: int, **options: object) -> None:
        self._descriptor = descriptor
        self.opt = {name.replace("_", "-"): value for name, value in options.items()}
        self.disconnected = 0

    def connection_fd(self) -> int:
        return self._descriptor

    def disconnect(self) -> None:
        self.disconnected += 1


# The environs of the servers, as far as they lead to the connection. What they open is closed with the pair.

Shape = Callable[[socket.socket, pytest.MonkeyPatch], dict[str, Any]]


def gunicorn(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"gunicorn.socket": server, "wsgi.input": io.BytesIO()}


def werkzeug(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"werkzeug.socket": server, "wsgi.input": io.BytesIO()}


def eventlet(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    stream = SimpleNamespace(get_socket=lambda: server, rfile=None)
    return {"eventlet.input": stream, "wsgi.input": stream}


def uwsgi(server: socket.socket, monkeypatch: pytest.MonkeyPatch, **options: object) -> dict[str, Any]:
    monkeypatch.setitem(sys.modules, "uwsgi", FakeUWSGI(server.fileno(), **options))
    return {"uwsgi.version": b"2.0.30", "wsgi.input": object(), "wsgi.url_scheme": "http"}


def wsgiref(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"wsgi.input": BufferedOver(server)}


def pywsgi(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"wsgi.input": SimpleNamespace(rfile=BufferedOver(server))}


def cheroot(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    return {"wsgi.input": SimpleNamespace(rfile=SimpleNamespace(rfile=BufferedOver(server)))}


class BufferedOver:
    """The part of ``socket.makefile("rb")`` that leads to the socket, without holding it open."""

    def __init__(self, server: socket.socket) -> None:
        self.raw = SimpleNamespace(_sock=server)


SHAPES = [gunicorn, werkzeug, eventlet, uwsgi, wsgiref, pywsgi, cheroot]


def taken(server: socket.socket) -> socket.socket:
    connection = find_connection({"gunicorn.socket": server})
    assert connection is not None
    return connection.take()


# ---- Finding --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-020", "A-125")
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_connection_is_found_by_what_stands_in_the_environ(pair, shape, monkeypatch):
    connection = find_connection(shape(pair.server, monkeypatch))

    assert connection is not None
    assert not connection.needs_relay
    pair.client.sendall(b"for us")
    with connection.take() as own:
        assert own.recv(100) == b"for us"
        own.send(b"for you")
        assert pair.client.recv(100) == b"for you"


@pytest.mark.requirement("S-020")
def test_the_file_over_a_real_socket_leads_to_it(pair):
    with pair.server.makefile("rb") as stream:
        connection = find_connection({"wsgi.input": stream})
        assert connection is not None
        with connection.take() as own:
            own.send(b"!")
            assert pair.client.recv(100) == b"!"


class Furious:
    def __getattribute__(self, name):
        raise SystemError(name)


class Circle:
    @property
    def rfile(self):
        return self


class Shifty:
    def __init__(self, descriptor: object) -> None:
        self._descriptor = descriptor

    def fileno(self):
        return self._descriptor

    def getsockopt(self, level, option):
        return socket.SOCK_STREAM if option == socket.SO_TYPE else 0


@pytest.mark.requirement("S-020", "A-125")
@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"wsgi.input": io.BytesIO(b"body")}, id="octets"),
        pytest.param({"wsgi.input": io.StringIO("body")}, id="text"),
        pytest.param({"wsgi.input": None}, id="none"),
        pytest.param({"wsgi.input": SimpleNamespace(rfile=io.BytesIO())}, id="a reader of octets"),
        pytest.param({"wsgi.input": Circle()}, id="a reader of itself"),
        pytest.param({"wsgi.input": Furious()}, id="a stream that raises"),
        pytest.param({"wsgi.input": MagicMock()}, id="a stream that has everything"),
        pytest.param({"gunicorn.socket": MagicMock()}, id="a socket that has everything"),
        pytest.param({"werkzeug.socket": Furious()}, id="a socket that raises"),
        pytest.param({"eventlet.input": Furious()}, id="an input that raises"),
        pytest.param({"eventlet.input": SimpleNamespace(get_socket=lambda: None)}, id="an input without a socket"),
        pytest.param({"gunicorn.socket": Shifty(-1)}, id="a descriptor that is closed"),
        pytest.param({"gunicorn.socket": Shifty("7")}, id="a descriptor that is text"),
        pytest.param({"gunicorn.socket": Shifty(1)}, id="a descriptor that is no socket"),
        pytest.param({"uwsgi.version": b"2.0.30"}, id="uwsgi without its module"),
    ],
)
def test_what_only_looks_like_a_connection_is_none(environ):
    assert find_connection(environ) is None


@pytest.mark.requirement("A-125")
def test_a_file_is_no_connection(tmp_path):
    with (tmp_path / "body").open("wb") as file:
        assert find_connection({"wsgi.input": file, "gunicorn.socket": file}) is None


@pytest.mark.requirement("A-125")
@pytest.mark.parametrize("is_listening", [pytest.param(True, id="a listener"), pytest.param(False, id="datagrams")])
def test_a_socket_that_is_no_stream_is_no_connection(is_listening):
    with socket.socket(type=socket.SOCK_STREAM if is_listening else socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        if is_listening:
            server.listen()
        assert find_connection({"gunicorn.socket": server}) is None


@pytest.mark.requirement("A-125")
def test_a_closed_socket_is_no_connection(pair):
    pair.server.close()

    assert find_connection({"gunicorn.socket": pair.server}) is None


@pytest.mark.requirement("A-125")
def test_a_connection_with_other_requests_on_it_is_left_alone(pair):
    assert find_connection({"gunicorn.socket": pair.server, "SERVER_PROTOCOL": "HTTP/2.0"}) is None
    assert find_connection({"gunicorn.socket": pair.server, "SERVER_PROTOCOL": "HTTP/1.1"}) is not None


@pytest.mark.requirement("A-125")
def test_tls_of_pyopenssl_is_left_alone(pair):
    pair.server.close()
    ours, theirs = socket.socketpair()

    class TLSConnection(Shifty):
        def get_peer_certificate(self):
            return None

    with ours, theirs:
        assert find_connection({"werkzeug.socket": Shifty(ours.fileno())}) is not None
        assert find_connection({"werkzeug.socket": TLSConnection(ours.fileno())}) is None


@pytest.mark.requirement("A-125")
@pytest.mark.parametrize("name", [pytest.param("https-socket", id="text"), pytest.param(b"https-socket", id="octets")])
def test_tls_of_uwsgi_is_left_alone_and_that_of_a_proxy_is_not(pair, monkeypatch, name):
    environ = uwsgi(pair.server, monkeypatch) | {"wsgi.url_scheme": "https"}

    assert find_connection(environ) is not None
    sys.modules["uwsgi"].opt[name] = ":8443"
    assert find_connection(environ) is None
    assert find_connection(environ | {"wsgi.url_scheme": "http"}) is not None


@pytest.mark.requirement("A-125")
def test_the_module_of_uwsgi_alone_means_nothing(pair, monkeypatch):
    uwsgi(pair.server, monkeypatch)

    assert find_connection({"wsgi.input": io.BytesIO()}) is None


@pytest.mark.requirement("S-020")
def test_looking_changes_nothing(pair):
    pair.server.settimeout(3)
    pair.client.sendall(b"still here")

    assert find_connection({"gunicorn.socket": pair.server}) is not None

    assert pair.server.gettimeout() == 3
    assert pair.server.recv(100) == b"still here"


# ---- Taking ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-022")
def test_to_the_server_the_client_has_hung_up(pair):
    with taken(pair.server):
        assert pair.server.recv(100) == b""
        with pytest.raises(BrokenPipeError):
            pair.server.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
        pair.client.settimeout(0)
        with pytest.raises(BlockingIOError):
            pair.client.recv(100)


@pytest.mark.requirement("S-022")
@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda server: server.close(), id="close"),
        pytest.param(lambda server: server.shutdown(socket.SHUT_WR), id="shut down writing"),
        pytest.param(lambda server: server.shutdown(socket.SHUT_RDWR), id="shut down both"),
        pytest.param(lambda server: server.setblocking(True), id="block"),
        pytest.param(lambda server: server.settimeout(0.01), id="time out"),
        pytest.param(
            lambda server: server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"), id="linger"
        ),
    ],
)
def test_what_the_server_does_to_it_does_not_reach_the_connection(pair, act):
    with taken(pair.server) as own:
        act(pair.server)
        pair.server.close()

        assert not os.get_blocking(own.fileno())
        pair.client.sendall(b"ping")
        assert own.recv(100) == b"ping"
        own.send(b"pong")
        assert pair.client.recv(100) == b"pong"


@pytest.mark.requirement("S-022")
def test_our_socket_does_not_block_and_is_not_inherited_and_the_server_keeps_its_flag(pair):
    os.set_inheritable(pair.server.fileno(), True)

    with taken(pair.server) as own:
        assert own.gettimeout() == 0
        assert not os.get_blocking(own.fileno())
        assert not os.get_inheritable(own.fileno())
        assert os.get_inheritable(pair.server.fileno())


@pytest.mark.requirement("S-022")
def test_octets_that_came_before_are_still_there(pair):
    pair.client.sendall(b"early")

    with taken(pair.server) as own:
        assert own.recv(100) == b"early"


@pytest.mark.requirement("S-022")
def test_both_ends_closed_leave_no_descriptor(pair):
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None

    own = taken(pair.server)
    own.close()
    pair.server.close()

    assert pair.client.recv(100) == b""
    pair.client.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before - 2


@pytest.mark.requirement("S-022")
def test_messages_go_out_at_once_on_tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname(), timeout=TIMEOUT_S):
            server, _ = listener.accept()
            with server, taken(server) as own:
                assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.requirement("S-022")
def test_a_connection_that_the_server_has_closed_meanwhile_cannot_be_taken(pair):
    connection = find_connection({"gunicorn.socket": pair.server})
    pair.server.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.take()


@pytest.mark.requirement("S-022", "S-028")
@pytest.mark.parametrize("patched_by", ["gevent", "eventlet"])
def test_our_socket_is_of_the_interpreters_class_whoever_has_replaced_it(pair, monkeypatch, patched_by):
    class GreenSocket(socket.socket):
        pass

    native = socket.socket
    if patched_by == "gevent":
        monkey = SimpleNamespace(
            get_original=lambda module, name: native if (module, name) == ("socket", "socket") else None,
        )
        monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    else:
        patcher = SimpleNamespace(
            is_monkey_patched=lambda module: module == "socket",
            original=lambda module: SimpleNamespace(socket=native),
        )
        monkeypatch.delitem(sys.modules, "gevent.monkey", raising=False)
        monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    monkeypatch.setattr(socket, "socket", GreenSocket)

    with taken(pair.server) as own:
        assert type(own) is native


# ---- Ending ---------------------------------------------------------------------------------------------------------


class Started:
    """A ``start_response`` that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[tuple[str, str]]]] = []

    def __call__(self, status, headers, exc_info=None, /):
        self.calls.append((status, headers))
        return lambda data: None


ANNOUNCED = [("101 Switching Protocols", [])]


def found(environ):
    connection = find_connection(environ)
    assert connection is not None
    return connection


@pytest.mark.requirement("S-023", "A-145")
def test_gunicorn_gets_the_status_for_its_log_and_then_a_reset(pair, monkeypatch):
    environ, started = gunicorn(pair.server, monkeypatch), Started()

    result = found(environ).end(environ, started)

    assert started.calls == ANNOUNCED
    with pytest.raises(ConnectionResetError) as raised:
        list(result)
    assert raised.value.errno == errno.ECONNRESET


@pytest.mark.requirement("S-023", "A-145")
@pytest.mark.parametrize("shape", [werkzeug, wsgiref, pywsgi, cheroot], ids=lambda shape: shape.__name__)
def test_others_get_the_reset_at_once(pair, shape, monkeypatch):
    environ, started = shape(pair.server, monkeypatch), Started()

    with pytest.raises(ConnectionResetError) as raised:
        found(environ).end(environ, started)

    assert raised.value.errno == errno.ECONNRESET
    assert started.calls == ANNOUNCED


@pytest.mark.requirement("S-023", "A-145")
def test_eventlet_gets_its_mark(pair, monkeypatch):
    module = SimpleNamespace(WSGI_LOCAL=SimpleNamespace(already_handled=False))
    monkeypatch.setitem(sys.modules, "eventlet.wsgi", module)
    environ, started = eventlet(pair.server, monkeypatch), Started()

    assert list(found(environ).end(environ, started)) == []
    assert module.WSGI_LOCAL.already_handled is True
    assert started.calls == ANNOUNCED


@pytest.mark.requirement("S-023", "A-145")
def test_uwsgi_is_told_to_disconnect(pair, monkeypatch):
    environ, started = uwsgi(pair.server, monkeypatch), Started()

    assert list(found(environ).end(environ, started)) == []
    assert sys.modules["uwsgi"].disconnected == 1
    assert started.calls == []


@pytest.mark.requirement("S-023")
def test_a_middleware_that_refuses_the_status_does_not_change_the_end(pair, monkeypatch):
    environ = gunicorn(pair.server, monkeypatch)

    def refuse(status, headers, exc_info=None, /):
        raise AssertionError("No Content-Type header found in headers")

    with pytest.raises(ConnectionResetError):
        list(found(environ).end(environ, refuse))


# ---- TLS ------------------------------------------------------------------------------------------------------------


class TLSSocket(socket.socket):
    """What TLS sockets are known by, whatever their class."""

    def getpeercert(self, binary_form=False):
        return None


@pytest.mark.requirement("S-025")
def test_a_connection_with_tls_needs_a_relay(pair):
    with TLSSocket(fileno=pair.server.detach()) as server:
        assert found({"gunicorn.socket": server}).needs_relay


@pytest.mark.requirement("S-023", "S-025")
def test_what_interrupts_a_relay_is_not_answered_to_the_client(pair, monkeypatch):
    def interrupted(server_side, our_side):
        raise SystemExit(1)  # as gunicorn's sync worker does when its time is up

    monkeypatch.setattr("bridge.websocket.asgi_hosting.connections.relay", interrupted)
    with TLSSocket(fileno=pair.server.detach()) as server:
        environ = {"gunicorn.socket": server}
        connection = found(environ)
        with connection.take() as own:
            with pytest.raises(SystemExit):
                connection.end(environ, Started())

            with pytest.raises(BrokenPipeError):
                server.sendall(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
            assert pair.client.recv(100) == b""
            assert own.recv(100) == b""


# ---- Where descriptors cannot be replaced ---------------------------------------------------------------------------


@pytest.mark.requirement("S-022")
def test_where_descriptors_of_sockets_cannot_be_replaced_the_thread_relays(pair, monkeypatch):
    monkeypatch.setattr("bridge.websocket.asgi_hosting.connections._CAN_REPLACE", False)
    environ = werkzeug(pair.server, monkeypatch)
    connection = found(environ)

    assert connection.needs_relay
    with connection.take() as own:
        own.send(b"last words")
    pair.client.sendall(b"too late")
    with pytest.raises(ConnectionResetError):
        connection.end(environ, Started())

    assert pair.client.recv(100) == b"last words"
    assert pair.client.recv(100) == b""
