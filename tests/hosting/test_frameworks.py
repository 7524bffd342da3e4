"""Which applications are given a CONTENT_LENGTH that the client did not send: recognised by what they are."""

from __future__ import annotations

import functools
from wsgiref.validate import validator

import bottle
import falcon
import flask
import pytest
from django.core.handlers.wsgi import WSGIHandler

from bridge._wsgi_hosting.frameworks import needs_content_length

DJANGO = WSGIHandler.__new__(WSGIHandler)  # without settings


class Middleware:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


class Untouchable:
    """An application that minds being looked at."""

    def __getattr__(self, name):
        raise AssertionError(f"somebody asked for {name}")

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return []


def flask_behind(app):
    outer = flask.Flask("outer")
    outer.wsgi_app = app
    return outer


@pytest.mark.requirement("W-053")
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(DJANGO, id="django"),
        pytest.param(bottle.Bottle(), id="bottle"),
        pytest.param(falcon.App(), id="falcon"),
        pytest.param(Middleware(bottle.Bottle()), id="in a middleware"),
        pytest.param(Middleware(Middleware(bottle.Bottle())), id="in two"),
        pytest.param(validator(bottle.Bottle()), id="in a closure"),
        pytest.param(functools.partial(bottle.Bottle()), id="in a partial"),
        pytest.param(bottle.Bottle().wsgi, id="a bound method"),
        pytest.param(flask_behind(bottle.Bottle()), id="in place of Flask's own"),
    ],
)
def test_applications_that_read_by_length_are_recognised(app):
    assert needs_content_length(app)


@pytest.mark.requirement("W-002", "W-077")
@pytest.mark.parametrize(
    "app",
    [
        pytest.param(flask.Flask("app"), id="flask"),
        pytest.param(lambda environ, start_response: [], id="function"),
        pytest.param(Middleware(flask.Flask("app")), id="flask in a middleware"),
        pytest.param(Untouchable(), id="an object whose attributes must not be asked for"),
    ],
)
def test_others_are_left_alone(app):
    assert not needs_content_length(app)


def test_wrappings_that_go_round_come_to_an_end():
    first, second = Middleware(None), Middleware(None)
    first.app, second.app = second, first

    assert not needs_content_length(first)
