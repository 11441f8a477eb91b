import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from api.problem_answers import install_problem_handlers
from sightglass.context import RequestContext, current_request
from sightglass.problem import MEDIA_TYPE


def app() -> FastAPI:
    application = FastAPI()
    install_problem_handlers(application)

    @application.get("/status/{status}")
    async def answer(status: int) -> None:
        raise HTTPException(status, headers={"X-Extra": "1"})

    @application.get("/things/{number}")
    async def thing(number: int) -> int:
        if number == 1:
            raise HTTPException(409, "Taken", headers={"X-Extra": "1"})
        if number == 2:
            raise RuntimeError("a secret")
        return number

    return application


def get(path: str, method: str = "GET") -> tuple[int, dict[str, object], dict[str, str]]:
    response = TestClient(app(), raise_server_exceptions=False).request(method, path)
    assert response.headers["content-type"] == MEDIA_TYPE
    return response.status_code, response.json(), dict(response.headers)


def test_errors_are_problems() -> None:
    status, body, _ = get("/nowhere")
    assert (status, body) == (404, {"type": "about:blank", "title": "Not Found", "status": 404})


def test_headers_and_details_are_kept() -> None:
    status, body, headers = get("/things/1")
    assert (status, body["detail"], headers["x-extra"]) == (409, "Taken", "1")
    status, body, headers = get("/things/1", "POST")
    assert (status, body["status"], headers["allow"]) == (405, 405, "GET")


@pytest.mark.parametrize(("status", "title"), [(499, "Client Error"), (418, "I'm a Teapot"), (599, "Server Error")])
def test_any_error_status_is_a_problem(status: int, title: str) -> None:
    expected = {"type": "about:blank", "title": title, "status": status}
    assert get(f"/status/{status}")[:2] == (status, expected)


@pytest.mark.parametrize(("status", "body"), [(204, b""), (304, b""), (307, b'{"detail":"Temporary Redirect"}')])
def test_a_status_that_is_no_error_is_no_problem(status: int, body: bytes) -> None:
    client = TestClient(app(), raise_server_exceptions=False, follow_redirects=False)
    response = client.get(f"/status/{status}")
    assert (response.status_code, response.content, response.headers["x-extra"]) == (status, body, "1")
    assert response.headers.get("content-type") != MEDIA_TYPE


def test_validation_names_the_place_and_never_the_input() -> None:
    status, body, _ = get("/things/marker-4711")
    assert status == 422
    assert [item["pointer"] for item in body["errors"]] == ["/number"]  # type: ignore[attr-defined]
    assert "4711" not in str(body)


def test_an_exception_is_a_500_without_its_message() -> None:
    status, body, _ = get("/things/2")
    assert (status, body) == (500, {"type": "about:blank", "title": "Internal Server Error", "status": 500})


def test_the_request_id_is_in_every_problem() -> None:
    token = current_request.set(RequestContext("id-1"))
    try:
        assert {get(path)[1]["request_id"] for path in ("/nowhere", "/things/1", "/things/2", "/things/x")} == {"id-1"}
    finally:
        current_request.reset(token)
