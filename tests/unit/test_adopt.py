"""`make adopt` over small projects of many shapes: what it finds, which lines it writes, and when it asks instead."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import adopt, hooks, preflight
from scripts.environment import read
from scripts.project import Project

ROOT = Path(__file__).resolve().parent.parent.parent

FASTAPI = "from fastapi import FastAPI\n\napp = FastAPI()\n"
FLASK = "from flask import Flask\n\napp = Flask('x')\n"
FLASK_FACTORY = """import flask


def create_app(config=None):
    app = flask.Flask(__name__)
    return app
"""
SETTINGS = """from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
"""
DJANGO = {
    "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n",
    "mysite/__init__.py": "",
    "mysite/settings.py": "SECRET_KEY = 'x'\n",
    "mysite/wsgi.py": SETTINGS,
    "mysite/asgi.py": SETTINGS.replace("wsgi", "asgi"),
    "requirements.txt": "Django==5.2\n",
}

# Files of a project → APP, framework, and what `.env` says besides.
CONTEXT = {"API_CONTEXT": "../shop", "API_IMAGE": "shop"}
ADOPTED = CONTEXT | {"API_DOCKERFILE": "../sightglass/docker/adopted/Dockerfile"}
MOUNTED = {"APP_DIR": "../shop"}
SHAPES: dict[str, tuple[dict[str, str], str, str, dict[str, str]]] = {
    "one file": ({"main.py": FASTAPI}, "main:app", "FastAPI", MOUNTED),
    "of another name": ({"server.py": FASTAPI.replace("app", "api")}, "server:api", "FastAPI", MOUNTED),
    "imported as a module": (
        {"main.py": "import fastapi as f\nx: f.FastAPI = f.FastAPI()\n"}, "main:x", "FastAPI", MOUNTED,
    ),
    "package": ({"shop/__init__.py": "", "shop/main.py": FASTAPI}, "shop.main:app", "FastAPI", MOUNTED),
    "in a package's face": ({"shop/__init__.py": FASTAPI}, "shop:app", "FastAPI", MOUNTED),
    "app.py in a package": ({"shop/__init__.py": "", "shop/app.py": FASTAPI}, "shop.app:app", "FastAPI", MOUNTED),
    "a package without a face, imported by its name": (
        {"shop/main.py": FASTAPI + "from shop.items import router\n", "shop/items.py": "router = 1\n"},
        "shop.main:app", "FastAPI", MOUNTED,
    ),
    "a package without a face, imported beside": (
        {"shop/main.py": FASTAPI + "from .items import router\n", "shop/items.py": "router = 1\n"},
        "shop.main:app", "FastAPI", MOUNTED,
    ),
    "a directory that is no package": (
        {"backend/main.py": FASTAPI + "import items\n", "backend/items.py": ""}, "main:app", "FastAPI",
        {"APP_DIR": "../shop/backend"},
    ),
    "a package in a directory of its name": (
        {"shop/shop/main.py": FASTAPI + "from shop.items import router\n", "shop/shop/items.py": "router = 1\n"},
        "shop.main:app", "FastAPI", {"APP_DIR": "../shop/shop"},
    ),
    "src that is no package, with one that is none": (
        {"src/shop/main.py": FASTAPI + "from shop.items import router\n", "src/shop/items.py": ""}, "shop.main:app",
        "FastAPI", {"APP_DIR": "../shop/src"},
    ),
    "src": (
        {"src/shop/__init__.py": "", "src/shop/main.py": FASTAPI,
         "pyproject.toml": "[project]\ndependencies = ['fastapi']"},
        "shop.main:app", "FastAPI", {"APP_DIR": "../shop/src"},
    ),
    "src, more packages": (
        {"src/shop/__init__.py": "", "src/shop/main.py": FASTAPI, "requirements.txt": "fastapi\nsqlalchemy>=2\n"},
        "shop.main:app", "FastAPI", ADOPTED,
    ),
    "starlette": (
        {"app.py": "from starlette.applications import Starlette\napp = Starlette(routes=[])\n"},
        "app:app", "Starlette", MOUNTED,
    ),
    "litestar": (
        {"app.py": "from litestar import Litestar\napp = Litestar()\n", "requirements.txt": "litestar"}, "app:app",
        "Litestar", ADOPTED,
    ),
    "quart": (
        {"app.py": "from quart import Quart\napp = Quart(__name__)\n", "requirements.txt": "quart"}, "app:app", "Quart",
        ADOPTED,
    ),
    "flask": (
        {"app.py": "from flask import Flask\napp = Flask(__name__)\n", "requirements.txt": "flask"}, "app:app", "Flask",
        ADOPTED,
    ),
    "flask factory": (
        {"shop/__init__.py": FLASK_FACTORY, "requirements.txt": "flask"}, "shop:create_app", "Flask", ADOPTED,
    ),
    "flask factory and what it makes": (
        {"shop/__init__.py": FLASK_FACTORY, "wsgi.py": "from shop import create_app\napp = create_app()\n",
         "requirements.txt": "flask"},
        "wsgi:app", "Flask", ADOPTED,
    ),
    "factory that imports inside": (
        {"main.py": "def create_app():\n    from fastapi import FastAPI\n    return FastAPI()\n"}, "main:create_app",
        "FastAPI", MOUNTED,
    ),
    "factory's own in the same file": (
        {"main.py": "from fastapi import FastAPI\ndef make():\n    return FastAPI()\napp = make()\n"},
        "main:app", "FastAPI", MOUNTED,
    ),
    "wrapped": (
        {"main.py": "from fastapi import FastAPI\nfrom m import Gzip\napp = Gzip(FastAPI(), level=9)\n"}, "main:app",
        "FastAPI", MOUNTED,
    ),
    "subclassed": (
        {"main.py": "from fastapi import FastAPI\nclass Shop(FastAPI):\n    pass\napp = Shop()\n"},
        "main:app", "FastAPI", MOUNTED,
    ),
    "mounted in another": (
        {"main.py": FASTAPI + "admin = FastAPI()\napp.mount('/admin', admin)\n"}, "main:app", "FastAPI", MOUNTED,
    ),
    "mounted from elsewhere": (
        {"shop/__init__.py": "", "shop/main.py": FASTAPI + "from .admin import site\napp.mount('/admin', site)\n",
         "shop/admin.py": FASTAPI.replace("app", "site")},
        "shop.main:app", "FastAPI", MOUNTED,
    ),
    "django": (DJANGO, "mysite.wsgi:application", "Django", ADOPTED),
    "django with channels": (
        DJANGO | {"requirements.txt": "Django\nchannels\n"}, "mysite.asgi:application", "Django", ADOPTED,
    ),
    "falcon": (
        {"app.py": "import falcon.asgi\napp = falcon.asgi.App()\n", "requirements.txt": "falcon"}, "app:app", "Falcon",
        ADOPTED,
    ),
    "two, one of which its Dockerfile starts": (
        {"shop/__init__.py": "", "shop/main.py": FASTAPI, "shop/admin.py": FASTAPI,
         "Dockerfile": 'FROM python\nCMD ["uvicorn", "shop.admin:app", "--port", "9000"]\n'},
        "shop.admin:app", "FastAPI", CONTEXT,
    ),
    "two, one of which its Procfile starts": (
        {"main.py": FASTAPI, "admin.py": FASTAPI,
         "Procfile": "web: gunicorn -k uvicorn.workers.UvicornWorker main:app\n"},
        "main:app", "FastAPI", MOUNTED,
    ),
    "its Dockerfile elsewhere": (
        {"main.py": FASTAPI, "docker/Dockerfile": "FROM python\n"}, "main:app", "FastAPI",
        CONTEXT | {"API_DOCKERFILE": "docker/Dockerfile"},
    ),
    "poetry": (
        {"main.py": FASTAPI,
         "pyproject.toml": "[tool.poetry.dependencies]\npython = '^3.11'\nfastapi = '*'\nsqlalchemy = '^2'\n"},
        "main:app", "FastAPI", ADOPTED,
    ),
    "pipenv": (
        {"main.py": FASTAPI, "Pipfile": "[packages]\nfastapi = '*'\nsqlalchemy = '*'\n"},
        "main:app", "FastAPI", ADOPTED,
    ),
    "other people's code aside": (
        {"main.py": FASTAPI, "tests/app.py": FASTAPI, ".venv/x.py": FASTAPI, "env3/pyvenv.cfg": "",
         "env3/y.py": FASTAPI, "examples/z.py": FASTAPI, "test_main.py": FASTAPI, "broken.py": "def (",
         "latin.py": "# caf\udce9\n"},
        "main:app", "FastAPI", MOUNTED,
    ),
    "only where it is run": (
        {"main.py": FASTAPI + "if __name__ == '__main__':\n    other = FastAPI()\n"}, "main:app", "FastAPI", MOUNTED,
    ),
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory like this one, without `.env`."""
    root = tmp_path / "sightglass"
    (root / "site").mkdir(parents=True)
    shutil.copytree(ROOT / "requirements", root / "requirements")
    for name in (".env.template", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for module in (adopt, hooks, preflight):
        monkeypatch.setattr(module, "ROOT", root)
    return root


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["adopt.py", *arguments])
        status = adopt.main()
        said = capsys.readouterr()
        return status, said.out, said.err

    return command


def project(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    return directory


def written(root: Path) -> dict[str, str]:
    """Return what `.env` sets, as Compose reads it."""
    names = ("APP", "APP_DIR", "APP_NAME", "API_CONTEXT", "API_IMAGE", "API_DOCKERFILE", "JOBS_REPLICAS", "SITE_DIR")
    return read(*names, "COMPOSE_FILE", env_file=root / ".env")


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_served_is_found_and_written(root: Path, run: Run, shape: str) -> None:
    files, app, framework, expected = SHAPES[shape]
    project(root.parent / "shop", files)
    status, said, wrong = run("../shop")
    assert (status, wrong) == (0, "")
    assert re.search(rf"framework   {framework}(| [\d.]+)\n", said)
    assert f"app         {app}, " in said
    shared = {"APP": app, "APP_NAME": "shop", "JOBS_REPLICAS": "0", "COMPOSE_FILE": "docker-compose.prod.yml"}
    assert written(root) == shared | expected
    for name, value in ({"APP": app} | expected).items():
        assert f"    {name}={value}\n" in said
    # Again: nothing changes.
    before = (root / ".env").read_bytes()
    status, said, _ = run("../shop")
    assert status == 0
    assert said.count("(as it was)") == len(expected) + 3
    assert (root / ".env").read_bytes() == before


def test_what_a_person_wrote_stays_and_is_shown_beside_what_was_found(root: Path, run: Run) -> None:
    project(root.parent / "shop", {"main.py": FASTAPI})
    (root / ".env").write_text("APP=mine:app\r\nexport APP_NAME = mine\r\n# JOBS_REPLICAS=1")
    status, said, _ = run("../shop")
    assert status == 0
    assert "    APP=mine:app    (yours; found: main:app)\n" in said
    assert (root / ".env").read_bytes().startswith(b"APP=mine:app\r\nexport APP_NAME = mine\r\n# JOBS_REPLICAS=1\r\n")
    assert written(root)["APP"] == "mine:app"
    assert written(root)["JOBS_REPLICAS"] == "0"


@pytest.mark.parametrize("name", ["my shop", "a$HOME", "a #b", 'a"b', "caf\u00e9"])
def test_a_directory_of_any_name_is_written_as_compose_reads_it(root: Path, run: Run, name: str) -> None:
    project(root.parent / name, {"main.py": FASTAPI})
    assert run(f"../{name}")[0] == 0
    assert written(root)["APP_DIR"] == f"../{name}"
    before = (root / ".env").read_bytes()
    assert "(yours" not in run(f"../{name}")[1]
    assert (root / ".env").read_bytes() == before


AMBIGUOUS = {
    "two in two files": {"main.py": FASTAPI, "admin.py": FASTAPI},
    "two in one": {"main.py": FASTAPI + "other = FastAPI()\n"},
    "two frameworks": {"main.py": FASTAPI, "old.py": FLASK, "requirements.txt": "flask"},
    "two factories": {
        "main.py": FLASK_FACTORY + FLASK_FACTORY.replace("create_app", "make_app"),
        "requirements.txt": "flask",
    },
    "two commands": {
        "main.py": FASTAPI,
        "admin.py": FASTAPI,
        "Procfile": "web: uvicorn main:app\nadmin: uvicorn admin:app\n",
    },
}


@pytest.mark.parametrize("shape", AMBIGUOUS)
def test_of_several_a_person_chooses(root: Path, run: Run, shape: str) -> None:
    project(root.parent / "shop", AMBIGUOUS[shape])
    status, said, wrong = run("../shop")
    assert (status, said) == (1, "")
    first, *listed = wrong.splitlines()
    assert first == "../shop: 2 applications; choose: make adopt DIR=… APP=…"
    assert len(listed) == 2
    assert not (root / ".env").exists()
    app = listed[1].split()[0].removeprefix("APP=")
    assert run("../shop", "--app", app)[0] == 0
    assert written(root)["APP"] == app


NOTHING = {
    "empty": {},
    "a library": {"shop/__init__.py": "def f():\n    return 1\n"},
    "not Python": {"index.js": "x"},
    "a class of that name": {"main.py": "class FastAPI: pass\napp = FastAPI()\n"},
    "only a test's": {"tests/app.py": FASTAPI},
    "an application that is gone when the function ends": {
        "main.py": "import fastapi\ndef f():\n    app = fastapi.FastAPI()\n"
    },
    "a factory that asks for more": {
        "main.py": "import fastapi\ndef create_app(name):\n    return fastapi.FastAPI()\n"
    },
}


@pytest.mark.parametrize("shape", NOTHING)
def test_nothing_to_serve_is_one_line_that_says_what_to_write(root: Path, run: Run, shape: str) -> None:
    (root.parent / "shop").mkdir()
    project(root.parent / "shop", NOTHING[shape])
    status, said, wrong = run("../shop")
    assert (status, said) == (1, "")
    assert wrong.count("\n") == 1
    assert wrong.endswith("name yours: make adopt DIR=… APP=module:attribute\n")
    assert not (root / ".env").exists()
    assert run("../shop", "--app", "their.own:thing")[0] == 0
    assert written(root)["APP"] == "their.own:thing"


UNLISTED = {
    "flask": {"app.py": FLASK},
    "a factory": {"shop/__init__.py": FLASK_FACTORY},
    "settings of tools": {"app.py": FLASK, "pyproject.toml": "[tool.ruff]\nline-length = 100\n"},
    "django": {name: text for name, text in DJANGO.items() if name != "requirements.txt"},
    "falcon": {"app.py": "import falcon.asgi\napp = falcon.asgi.App()\n"},
}


@pytest.mark.parametrize("shape", UNLISTED)
def test_a_framework_that_nothing_lists_is_one_line_and_nothing_is_written(root: Path, run: Run, shape: str) -> None:
    project(root.parent / "shop", UNLISTED[shape])
    package = shape if shape in ("django", "falcon") else "flask"
    expected = f"nothing says which packages it asks for; expected a requirements.txt with {package} in it\n"
    assert run("../shop") == (1, "", f"../shop: {expected}")
    assert not (root / ".env").exists()
    # With a list, or a Dockerfile, it is built.
    project(root.parent / "shop", {"requirements.txt": f"{package}==3.0\n"})
    status, said, _ = run("../shop")
    assert (status, written(root)["API_DOCKERFILE"]) == (0, ADOPTED["API_DOCKERFILE"])
    assert "not told" not in said
    for path in (root / ".env", root.parent / "shop" / "requirements.txt"):
        path.unlink()
    project(root.parent / "shop", {"Dockerfile": "FROM python\n"})
    assert run("../shop")[0] == 0
    assert "APP_DIR" not in written(root)


@pytest.mark.parametrize("text", ["", "fastapi\n", "flask-restx\n", "-r more.txt\n"])
def test_a_list_without_the_framework_is_built_and_said(root: Path, run: Run, text: str) -> None:
    project(root.parent / "shop", {"app.py": FLASK, "requirements.txt": text})
    status, said, _ = run("../shop")
    assert (status, written(root)["API_DOCKERFILE"]) == (0, ADOPTED["API_DOCKERFILE"])
    assert "    not told    whether flask is installed with the rest: requirements.txt does not name it\n" in said


@pytest.mark.parametrize("value", ["", "nowhere", "../nowhere", "README.md", "."])
def test_what_is_no_project_is_one_line(run: Run, value: str) -> None:
    status, said, wrong = run(value)
    assert (status, said) == (2, "")
    assert wrong.startswith(f"DIR={value}: not allowed; expected ")
    assert wrong.count("\n") == 1


def test_what_it_needs_is_said(root: Path, run: Run) -> None:
    project(root.parent / "shop", {
        "main.py": "import os, uvicorn\n" + FASTAPI + "KEY = os.environ['STRIPE_KEY']\n"
        "LEVEL = os.environ.get('LEVEL')\nclass S(BaseSettings):\n    database_url: str\n    debug: bool = False\n"
        "if __name__ == '__main__':\n    uvicorn.run(app, port=8123)\n",
        "requirements.txt": "# ours\nfastapi>=0.100\nasyncpg==0.30\nRedis[hiredis]\n-r more.txt\n",
        "Dockerfile": "FROM python\nEXPOSE 9000\nCMD uvicorn main:app --host 0.0.0.0 --port 9001\n",
        "models/shop.onnx": "",
    })  # fmt: skip
    status, said, _ = run("../shop")
    assert status == 0
    assert "port        8123, 9000, 9001; of no matter" in said
    assert "variables   DATABASE_URL, STRIPE_KEY; into site/app.env\n" in said
    assert [line.split()[1] for line in said.splitlines() if line.startswith("    needs")] == ["PostgreSQL", "Redis"]
    assert "model       models/shop.onnx; MODELS_DIR=../shop/models mounts it at /models\n" in said
    assert "not told    where what it needs is" in said


def test_as_a_submodule_everything_goes_into_the_project(root: Path, run: Run) -> None:
    shop = project(root.parent, {"shop/__init__.py": "", "shop/main.py": FASTAPI, "requirements.txt": "fastapi"})
    project(shop, {"ops/compose.yml": "services: {}\n"})
    before = set(root.rglob("*"))
    status, said, _ = run("..")
    assert status == 0
    assert set(root.rglob("*")) - before == {root / ".env"}
    assert (root / ".env").readlink() == Path("../ops/.env")
    assert sorted(path.name for path in (shop / "ops").iterdir()) == [
        ".env", "compose.yml", "dashboards", "nginx", "rules", "targets",
    ]  # fmt: skip
    assert written(root) == {
        "COMPOSE_FILE": "docker-compose.prod.yml:../ops/compose.yml", "SITE_DIR": "../ops", "APP": "shop.main:app",
        "APP_DIR": "..", "APP_NAME": shop.name[:63].strip("-_"), "JOBS_REPLICAS": "0",
    }  # fmt: skip
    assert "==> ../ops/.env\n" in said
    # For the next who clones it: the link alone.
    text = (shop / "ops" / ".env").read_bytes()
    (root / ".env").unlink()
    assert run("..")[0] == 0
    assert (root / ".env").readlink() == Path("../ops/.env")
    assert (shop / "ops" / ".env").read_bytes() == text


def test_a_file_that_is_there_in_a_submodule_stays_the_one(root: Path, run: Run) -> None:
    project(root.parent, {"main.py": FASTAPI})
    (root / ".env").write_text("HTTPS_PORT=8443\n")
    assert run("..")[0] == 0
    assert not (root / ".env").is_symlink()
    assert (
        (root / ".env").read_text().startswith("HTTPS_PORT=8443\nCOMPOSE_FILE=docker-compose.prod.yml\nAPP=main:app\n")
    )


def test_no_code_is_run(root: Path, run: Run) -> None:
    project(root.parent / "shop", {"main.py": FASTAPI + "open('/nonexistent/ran', 'w')\nraise SystemExit(3)\n"})
    assert run("../shop")[0] == 0


@pytest.mark.parametrize("text", ["", "[", "x = 1", '{"default": {"fastapi": {"version": "==1"}}}', "{", "[]"])
@pytest.mark.parametrize("name", ["pyproject.toml", "Pipfile", "Pipfile.lock", "requirements.txt"])
def test_a_file_that_is_not_what_its_name_says_is_no_obstacle(tmp_path: Path, name: str, text: str) -> None:
    found = Project(project(tmp_path, {"main.py": FASTAPI, name: text}))
    assert [one.app for one in found.chosen()] == ["main:app"]
    assert isinstance(found.packages, set)


def test_lock_files_are_read_as_json(tmp_path: Path) -> None:
    lock = {"default": {"Flask": {"version": "==3.0"}}, "develop": {"pytest": {}}}
    assert Project(project(tmp_path, {"Pipfile.lock": json.dumps(lock)})).packages == {"flask"}
