"""What has been moved answers as it did before.

pytest test_moved.py
"""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from new import app
from old import flask_app


@pytest.fixture
def new() -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize("user", ["ann", "bob", None])
@pytest.mark.parametrize("path", ["/orders/1", "/orders/2", "/orders/99", "/orders/tea", "/about"])
def test_old_and_new_answer_alike(new: TestClient, path: str, user: str | None) -> None:
    old = flask_app.test_client()
    if user:
        old.post("/login", data={"user": user})
        new.post("/login", data={"user": user})

    was, now = old.get(path), new.get(path)

    assert (now.status_code, now.headers["content-type"]) == (was.status_code, was.headers["content-type"])
    if was.is_json:
        assert now.json() == was.get_json()
    else:
        assert now.text == was.get_data(as_text=True)
