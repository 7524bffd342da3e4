"""`Limits`: what it accepts, what it says about the rest, and that nobody changes it afterwards."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest

from bridge import Limits

FIELDS = [field.name for field in dataclasses.fields(Limits)]
WHOLE = [field.name for field in dataclasses.fields(Limits) if "float" not in str(field.type)]
OPTIONAL = [field.name for field in dataclasses.fields(Limits) if "None" in str(field.type)]
AT_LEAST_ONE = ["workers", "response_memory_bytes", "body_piece_bytes", "websocket_queue_bytes"]


def limits_with(name, value):
    return Limits(**{name: value})


def test_no_name_has_gone():
    names = {
        *["workers", "worker_idle_s", "queue", "queue_wait_s", "retry_after_s", "body_memory_bytes", "body_max_bytes"],
        *["body_wait_s", "response_memory_bytes", "response_wait_s", "shutdown_s", "cancel_s", "stuck_s"],
        *["body_piece_bytes", "app_wait_s", "loop_wait_s", "startup_s", "disconnect_grace_s"],
    }

    assert names - set(FIELDS) == set()


def test_every_default_passes_its_own_check():
    defaults = {field.name: field.default for field in dataclasses.fields(Limits)}

    assert Limits(**defaults) == Limits()


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_gives_its_reason(name):
    source = inspect.getsource(Limits)

    assert f"\n    {name}: " in source
    assert source.partition(f"\n    {name}: ")[2].partition("\n")[2].lstrip().startswith('"""')


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_takes_a_whole_number(name):
    assert getattr(limits_with(name, 7), name) == 7


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in WHOLE])
@pytest.mark.parametrize("value", [0.25, float("inf")])
def test_times_may_be_fractions_and_endless(name, value):
    assert getattr(limits_with(name, value), name) == value


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_limit_can_be_switched_off(name):
    assert getattr(limits_with(name, None), name) is None


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in OPTIONAL])
def test_a_needed_limit_cannot_be_switched_off(name):
    with pytest.raises(TypeError, match=rf"Limits\.{name} must be a number, not None"):
        limits_with(name, None)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", ["7", b"7", True, False, [7], 7j, object], ids=repr)
def test_what_is_no_number_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=rf"Limits\.{name}"):
        limits_with(name, value)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.5, 2.0, float("inf"), float("nan")], ids=repr)
def test_a_count_is_a_whole_number(name, value):
    with pytest.raises(TypeError, match=rf"Limits\.{name} must be a whole number"):
        limits_with(name, value)


@pytest.mark.parametrize("name", FIELDS)
def test_no_limit_is_negative(name):
    with pytest.raises(ValueError, match=rf"Limits\.{name} must be at least"):
        limits_with(name, -1)


@pytest.mark.parametrize("name", [name for name in FIELDS if name not in WHOLE])
def test_no_time_is_nan(name):
    with pytest.raises(ValueError, match=rf"Limits\.{name}"):
        limits_with(name, float("nan"))


@pytest.mark.parametrize("name", FIELDS)
def test_zero_is_refused_only_where_nothing_could_ever_happen(name):
    if name in AT_LEAST_ONE:
        with pytest.raises(ValueError, match=rf"Limits\.{name} must be at least 1"):
            limits_with(name, 0)
        assert getattr(limits_with(name, 1), name) == 1
    else:
        assert getattr(limits_with(name, 0), name) == 0


@pytest.mark.parametrize("name", FIELDS)
def test_limits_cannot_be_changed_once_made(name):
    limits = Limits()

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(limits, name, 7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(limits, name)

    assert limits == Limits()


def test_unknown_and_positional_arguments_are_refused():
    with pytest.raises(TypeError):
        Limits(40)
    with pytest.raises(TypeError):
        Limits(threads=40)


def test_limits_are_values():
    changed = dataclasses.replace(Limits(workers=3), queue=5)

    assert changed == Limits(workers=3, queue=5)
    assert hash(changed) == hash(Limits(workers=3, queue=5))
    assert pickle.loads(pickle.dumps(changed)) == changed
    assert "workers=3" in repr(changed)


def test_replacing_a_limit_checks_it_too():
    with pytest.raises(ValueError, match="workers"):
        dataclasses.replace(Limits(), workers=0)
