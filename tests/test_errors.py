"""The tree of exceptions: whose fault it is, what existing handlers catch, and what each one carries."""

from __future__ import annotations

import pytest

import bridge
from bridge import errors
from bridge.errors import (
    AmbiguousAppError,
    ApplicationError,
    ApplicationTimeout,
    ApplicationTypeError,
    ApplicationValueError,
    BadRequest,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ClientTimeout,
    ConfigurationError,
    DetectionError,
    EventLoopError,
    LifespanError,
    LoadError,
    LoopStalled,
    NotAnAppError,
    NotInRequestError,
    ProtocolError,
    RequestCancelled,
    RequestRefused,
    ServerError,
)

TREE = {
    BridgeError: {Exception},
    ProtocolError: {BridgeError},
    ApplicationError: {ProtocolError},
    ApplicationTypeError: {ApplicationError, TypeError},
    ApplicationValueError: {ApplicationError, ValueError},
    ServerError: {ProtocolError},
    RequestRefused: {BridgeError},
    BadRequest: {RequestRefused},
    BodyTooLarge: {RequestRefused},
    ClientDisconnected: {BridgeError, ConnectionError},
    RequestCancelled: {ClientDisconnected},
    ClientTimeout: {ClientDisconnected, TimeoutError},
    ApplicationTimeout: {BridgeError, TimeoutError},
    EventLoopError: {BridgeError, RuntimeError},
    LoopStalled: {EventLoopError, TimeoutError},
    LifespanError: {BridgeError},
    DetectionError: {BridgeError, TypeError},
    AmbiguousAppError: {DetectionError},
    NotAnAppError: {DetectionError},
    LoadError: {BridgeError, ImportError},
    ConfigurationError: {BridgeError, ValueError},
    NotInRequestError: {BridgeError, RuntimeError},
}


def test_the_tree_has_these_exceptions_and_no_others():
    defined = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BaseException)}

    assert defined == TREE.keys()


def test_each_exception_can_be_imported_from_the_package():
    assert {error for error in TREE if getattr(bridge, error.__name__, None) is not error} == set()
    assert {error.__name__ for error in TREE} <= set(bridge.__all__)


@pytest.mark.parametrize(("error", "bases"), TREE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_each_exception_hangs_where_it_belongs_and_says_what_it_means(error, bases):
    assert set(error.__bases__) == bases
    assert error.__doc__


@pytest.mark.parametrize(
    "error", [ProtocolError, ApplicationError, ApplicationTypeError, ApplicationValueError, ServerError]
)
def test_a_broken_rule_is_named_in_the_message(error):
    raised = error("the application did it", rule='PEP 3333, "A Rule"')

    assert raised.rule == 'PEP 3333, "A Rule"'
    assert str(raised) == 'the application did it (PEP 3333, "A Rule")'


def test_a_broken_rule_cannot_be_left_out():
    with pytest.raises(TypeError):
        ApplicationError("the application did it")


@pytest.mark.requirement("W-138")
@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        pytest.param(RequestRefused(503, "Too busy."), 503, "Too busy.", id="any"),
        pytest.param(BadRequest("No."), 400, "No.", id="bad request"),
        pytest.param(BodyTooLarge(10), 413, "The request body is larger than 10 bytes.", id="body too large"),
    ],
)
def test_a_refusal_carries_its_answer(error, status, reason):
    assert (error.status, error.reason) == (status, reason)
    assert str(error) == f"{status}: {reason}"


def test_a_body_too_large_tells_the_limit():
    assert BodyTooLarge(10).limit_bytes == 10


@pytest.mark.requirement("W-078", "W-106")
@pytest.mark.parametrize("error", [ClientDisconnected, RequestCancelled, ClientTimeout])
def test_handlers_written_for_sockets_catch_a_client_that_left(error):
    with pytest.raises(OSError, match="gone") as caught:
        raise error("gone")

    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, TimeoutError) is (error is ClientTimeout)


@pytest.mark.requirement("A-093")
def test_a_client_that_left_is_no_time_out_of_the_bridge():
    assert issubclass(ClientDisconnected, OSError)
    assert not issubclass(ClientDisconnected, TimeoutError)
    assert not issubclass(ApplicationTimeout, ClientDisconnected)


def test_an_application_that_was_given_up_tells_for_how_long_it_was_silent():
    error = ApplicationTimeout(1.5)

    assert error.waited_s == 1.5
    assert str(error) == "the application sent nothing for 1.5 s; the request was given up (Limits.app_wait_s)"


@pytest.mark.requirement("A-122")
def test_a_stalled_loop_tells_for_how_long_and_where_it_is():
    error = LoopStalled(2.25, '  File "app.py", line 7, in view\n    sleep(10)\n')

    assert (error.waited_s, error.stack) == (2.25, '  File "app.py", line 7, in view\n    sleep(10)\n')
    assert "nothing up for 2.2 s" in str(error)
    assert str(error).endswith(error.stack)
    with pytest.raises(EventLoopError):
        raise error


def test_a_failed_hook_tells_its_phase():
    error = LifespanError("startup", "no database")

    assert (error.phase, str(error)) == ("startup", "no database")
