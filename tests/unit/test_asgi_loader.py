"""``APP``: the app it names, or the one line that says why not."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightglass.server import loading
from sightglass.server.halt import halt
from sightglass.server.loading import AppLoadError, load_app
from sightglass.server.wsgi import ServedWSGI

GOOD = """
class Holder:
    pass


async def app(scope, receive, send):
    pass


async def legacy(scope):
    pass


async def old_async(environ, start_response):
    pass


def plain(environ, start_response):
    return []


def anything(*args, **kwargs):
    return app(*args, **kwargs)


def create_app(config=None, testing=False, debug=False):
    return app


def create_plain():
    return plain


async def create_async():
    return app


def create_number():
    return 3


def create_factory():
    return create_app


def create_broken():
    raise RuntimeError("no database")


def create_exit():
    raise SystemExit("no licence")


holder = Holder()
holder.inner = app
holder.create = create_app
number = 3
"""
FILES = {
    "good.py": GOOD,
    "package/__init__.py": "",
    "package/main.py": GOOD,
    "needs.py": "import absent_library_4711\n",
    "syntax.py": "a = 1\ndef broken(:\n",
    "raises.py": "import json\n\ndef load():\n    json.loads('{\\n')\n\nload()\n",
    "exits.py": "import sys\nsys.exit('no licence')\n",
}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("good", "package", "package.inner", "package.main", "needs", "syntax", "raises", "exits"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize("path", ["good:app", "package.main:app", "good:holder.inner"])
def test_app_is_found(path: str) -> None:
    assert getattr(load_app(path), "__name__", None) == "app"


@pytest.mark.parametrize("path", ["good:create_app", "good:create_app()", "good:holder.create", "good:holder.create()"])
def test_a_factory_is_called_whether_or_not_it_says_so(path: str) -> None:
    assert getattr(load_app(path), "__name__", None) == "app"


@pytest.mark.parametrize("path", ["good:plain", "good:create_plain", "good:create_plain()"])
def test_a_wsgi_app_is_told_by_its_signature(path: str) -> None:
    served = load_app(path)
    assert isinstance(served, ServedWSGI)
    assert getattr(served.app, "__name__", None) == "plain"


def test_a_callable_that_takes_anything_is_taken_for_an_asgi_app() -> None:
    assert getattr(load_app("good:anything"), "__name__", None) == "anything"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("absent.main:app", "there is no module absent in "),
        ("package.absent:app", "there is no module package.absent in "),
        ("good:absent", "module good has no attribute absent"),
        ("good:holder.absent", "module good has no attribute holder.absent"),
        ("good:number", "number is no ASGI or WSGI app but a int"),
        ("good:number()", "number is no ASGI or WSGI app but a int"),
        ("good:legacy", "legacy takes neither scope, receive and send nor environ and start_response, so it is no "),
        ("good:old_async", "old_async takes neither scope, receive and send nor environ and start_response, so it "),
        ("good:legacy()", "calling legacy raised TypeError: legacy() missing 1 required positional argument"),
        ("good:create_async", "create_async is a coroutine function; expected a function that returns the app"),
        ("good:create_number", "what create_number returned is no ASGI or WSGI app but a int"),
        ("good:create_factory", "what create_factory returned takes neither scope, receive and send nor environ"),
        ("good:create_broken", "calling create_broken raised RuntimeError: no database ("),
        ("good:create_exit()", "calling create_exit raised SystemExit: no licence ("),
        ("builtins:dict", "dict takes neither scope, receive and send nor environ and start_response, so it is no "),
        ("needs:app", "importing it raised ModuleNotFoundError: No module named 'absent_library_4711' ("),
        ("syntax:app", "importing it raised SyntaxError: "),
        ("raises:app", "importing it raised JSONDecodeError: "),
        ("exits:app", "importing it raised SystemExit: no licence ("),
    ],
)
def test_what_is_wrong_is_one_line_with_the_value(path: str, reason: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        load_app(path)
    assert str(caught.value).startswith(f"APP={path}: {reason}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "place"), [("needs", "needs.py:1)"), ("syntax", "syntax.py:2)"), ("raises", "raises.py:4)")]
)
def test_error_inside_the_users_code_is_placed_there(path: str, place: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        load_app(f"{path}:app")
    assert str(caught.value).endswith(place)


@pytest.mark.parametrize("closed", ["", "package", "package/inner"])
def test_what_may_not_be_read_is_not_called_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    (tmp_path / "package" / "inner").mkdir()
    allowed = os.access
    # As root everything may be read.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / closed and allowed(path, mode))
    with pytest.raises(AppLoadError) as caught:
        load_app("package.inner.absent:app")
    assert str(caught.value) == f"APP=package.inner.absent:app: user {os.getuid()} may not read {tmp_path / closed}"


@settings(max_examples=30)
@given(st.text(st.characters(categories=None)))
def test_message_of_the_users_error_cannot_break_the_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        raise ValueError(text)
    assert loading._reason(caught.value, "good").isprintable()


def test_the_server_is_stopped_and_told_why_once_for_all_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[halt.__module__], "_halting", [0])
    statuses = []
    for _ in range(3):
        with pytest.raises(SystemExit) as caught:
            halt(4, "APP=x: wrong")
        statuses.append(caught.value.code)
    assert statuses == [4, 0, 0]
    assert capsys.readouterr().err == "APP=x: wrong\n"
