"""Looks at a Python project without running it: its web application, what it is installed from, and what it needs.

Code is parsed, never imported. Standard library only.
"""

import ast
import contextlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scripts import locks
from scripts.locks import normal as normal

FRAMEWORKS = {
    "fastapi.FastAPI": "FastAPI",
    "starlette.applications.Starlette": "Starlette",
    "litestar.Litestar": "Litestar",
    "quart.Quart": "Quart",
    "flask.Flask": "Flask",
    "falcon.App": "Falcon",
    "falcon.asgi.App": "Falcon",
    "bottle.Bottle": "Bottle",
    "django.core.wsgi.get_wsgi_application": "Django",
    "django.core.asgi.get_asgi_application": "Django",
}
"""What is called to make an application, by its full name."""
SHORTER = {"flask.app.Flask", "quart.app.Quart", "litestar.app.Litestar", "fastapi.applications.FastAPI"}
"""The same by the modules they are defined in."""
SERVERS = r"uvicorn|gunicorn|hypercorn|granian|daphne|fastapi|waitress-serve"
SKIPPED = {
    "venv", "env", "node_modules", "site-packages", "__pycache__", "build", "dist", "test", "tests", "docs", "doc",
    "examples", "example", "benchmarks", "bench", "migrations", "alembic", "sightglass",
}  # fmt: skip
"""Directories that hold no application to serve."""
MOST_FILES, MOST_BYTES = 5000, 1_000_000
SERVICES = {
    "PostgreSQL": {"psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "psycopg-binary"},
    "MySQL": {"mysqlclient", "pymysql", "aiomysql", "asyncmy"},
    "Redis": {"redis", "aioredis", "valkey", "django-redis", "arq", "rq"},
    "MongoDB": {"pymongo", "motor", "beanie", "mongoengine"},
    "Kafka": {"kafka-python", "aiokafka", "confluent-kafka"},
    "RabbitMQ": {"pika", "aio-pika"},
    "the internet": {"openai", "anthropic", "boto3", "stripe", "requests", "httpx", "aiohttp"},
    "worker processes of its own": {"celery", "dramatiq", "huey", "rq", "arq"},
}
"""What packages tell of an application's surroundings."""
MODELS = {".pt", ".pth", ".onnx", ".pkl", ".joblib", ".safetensors", ".h5", ".keras", ".gguf", ".tflite"}


@dataclass(frozen=True)
class Candidate:
    """An application, or a function that makes one.

    Attributes:
        app: what APP says.
        framework: whose.
        root: the directory that must be on the import path.
        factory: whether it is a function.

    """

    app: str
    framework: str
    root: Path
    factory: bool = False


@dataclass
class Module:
    """What one file says."""

    path: Path
    made: dict[str, str] = field(default_factory=dict)
    """Names at the top level to the framework of the application that they are."""
    called: dict[str, str] = field(default_factory=dict)
    """Names at the top level to the full names of the functions whose results they are."""
    factories: dict[str, str] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    """Applications that are mounted in others, by their names here or, where they are imported, full ones."""
    imports: set[str] = field(default_factory=set)
    """The first parts of the absolute imports, to two names."""
    relative: bool = False
    """Whether it imports beside itself, which only a part of a package can."""
    required: set[str] = field(default_factory=set)
    """Environment variables without which it does not start."""
    ports: set[int] = field(default_factory=set)


class Project:
    """A directory with an application somewhere in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()

    @cached_property
    def files(self) -> list[Path]:
        """The Python files that may be the application's."""
        return sorted(self._walk(self.directory))[:MOST_FILES]

    def _walk(self, directory: Path) -> Iterator[Path]:
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            return
        for path in entries:
            if path.is_symlink():
                continue
            if path.is_dir():
                if path.name not in SKIPPED and not path.name.startswith(".") and not (path / "pyvenv.cfg").exists():
                    yield from self._walk(path)
            elif path.suffix == ".py" and not re.match(r"(test_|conftest|setup\.py|noxfile)", path.name):
                yield path

    @cached_property
    def modules(self) -> list[Module]:
        """What the files say; one that is no Python of this version says nothing."""
        return [module for path in self.files if (module := look_at(path)) is not None]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The applications, those that are part of another left out; functions only where nothing is one itself."""
        functions = [self._candidate(m, n, f, factory=True) for m in self.modules for n, f in m.factories.items()]
        made = [self._candidate(m, n, f) for m in self.modules for n, f in m.made.items() if n not in m.inside]
        for module in self.modules:
            for name, function in module.called.items():
                if framework := _first(one.framework for one in functions if _is(one, function)):
                    made.append(self._candidate(module, name, framework))
        inside = [name for module in self.modules for name in module.inside]
        made = [one for one in made if not any(_is(one, name) for name in inside)]
        return made or [one for one in functions if re.search(r"app|make|create|build|factory", one.app)] or functions

    def chosen(self) -> list[Candidate]:
        """Return the one to serve, or those among which somebody has to choose; none where there is none."""
        named = set(self.named_by_commands)
        by_command = [one for one in self.candidates if one.app in named or one.app.split(".")[-1] in named]
        if len({one.app for one in by_command}) == 1:
            return by_command[:1]
        if self.candidates and all(one.framework == "Django" for one in self.candidates):
            kind = "asgi" if "channels" in self.packages else "wsgi"
            same = [one for one in self.candidates if one.app.partition(":")[0].rpartition(".")[2] == kind]
            return same or self.candidates
        return self.candidates

    def _candidate(self, module: Module, name: str, framework: str, *, factory: bool = False) -> Candidate:
        root = self.import_root(module)
        parts = list(module.path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        return Candidate(f"{'.'.join(parts)}:{name}", framework, root, factory)

    def import_root(self, module: Module) -> Path:
        """Return the directory from which a module is imported: above its packages, with or without `__init__.py`."""
        directory, above = module.path.parent, ""
        is_part = module.relative
        while directory != self.directory and (
            (directory / "__init__.py").exists()
            or is_part
            or (directory.name in self._imported and directory.name != above)
        ):
            directory, above, is_part = directory.parent, directory.name, False
        return directory

    @cached_property
    def _imported(self) -> set[str]:
        return {name.partition(".")[0] for module in self.modules for name in module.imports}

    @cached_property
    def dockerfile(self) -> Path | None:
        """The Dockerfile."""
        names = ("Dockerfile", "Containerfile", "docker/Dockerfile", "Dockerfile.prod", "deploy/Dockerfile")
        return next((self.directory / name for name in names if (self.directory / name).is_file()), None)

    @cached_property
    def _commands(self) -> str:
        names = (
            "Procfile",
            "docker-compose.yml",
            "compose.yml",
            "compose.yaml",
            "start.sh",
            "entrypoint.sh",
            "Makefile",
        )
        files = [*([self.dockerfile] if self.dockerfile else []), *(self.directory / name for name in names)]
        return "\n".join(text(file) for file in files if file.is_file())

    @cached_property
    def named_by_commands(self) -> list[str]:
        """What the commands that start it name: `module:attribute`."""
        joined = re.sub(r'"\s*,\s*"|\\\n', " ", self._commands)
        lines = [line for line in joined.splitlines() if re.search(rf"\b({SERVERS})\b", line)]
        return [name for line in lines for name in re.findall(r"(?<![\w./:-])([A-Za-z_][\w.]*:[A-Za-z_]\w*)\b", line)]

    @cached_property
    def ports(self) -> list[int]:
        """The ports it listens on by itself."""
        told = re.findall(
            r"^\s*EXPOSE\s+(\d+)|(?:--port|-p|--bind|-b)[ =\"',]+(?:[\w.]*:)?(\d{2,5})", self._commands, re.M
        )
        found = {int(a or b) for a, b in told} | {port for module in self.modules for port in module.ports}
        return sorted(found)

    @cached_property
    def requirements_file(self) -> str | None:
        """What it is installed from."""
        names = ("requirements.txt", "Pipfile.lock", "Pipfile", "pyproject.toml")
        return next((name for name in names if (self.directory / name).is_file() and self._installs(name)), None)

    def _installs(self, name: str) -> bool:
        """Say whether a file is more than the settings of tools."""
        return name != "pyproject.toml" or bool({"project", "build-system"} & set(self._pyproject))

    @cached_property
    def tool(self) -> str | None:
        """Who installs it, for people."""
        if lock := locks.lock_file(self.directory):
            return f"{locks.LOCKS[lock]}, in the versions of {lock}"
        if "poetry" in self._pyproject.get("tool", {}):
            return "Poetry"
        return "Pipenv" if self.requirements_file == "Pipfile" else self.requirements_file

    @cached_property
    def _pyproject(self) -> dict[str, dict[str, object]]:
        try:
            return tomllib.loads(text(self.directory / "pyproject.toml"))
        except tomllib.TOMLDecodeError:
            return {}

    @cached_property
    def _dependencies(self) -> list[str]:
        listed = self._pyproject.get("project", {}).get("dependencies")
        return [str(one) for one in listed] if isinstance(listed, list) else []

    @cached_property
    def packages(self) -> set[str]:
        """The names of the packages it asks for, as indexes compare them (PEP 503)."""
        named: list[str] = []
        named += [line for line in text(self.directory / "requirements.txt").splitlines() if line[:1] not in ("#", "-")]
        named += self._dependencies
        poetry = self._pyproject.get("tool", {}).get("poetry", {})
        named += [
            name for name in (poetry.get("dependencies", {}) if isinstance(poetry, dict) else {}) if name != "python"
        ]
        with contextlib.suppress(ValueError):
            lock = json.loads(text(self.directory / "Pipfile.lock") or "{}")
            named += lock.get("default", {}) if isinstance(lock, dict) else []
        with contextlib.suppress(tomllib.TOMLDecodeError):
            named += tomllib.loads(text(self.directory / "Pipfile")).get("packages", {})
        names = (re.match(r"\s*([A-Za-z0-9][\w.-]*)", one) for one in named)
        return {normal(name[1]) for name in names if name}

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions that are pinned, by their packages' names: by the lock file, else by a requirement's ``==``."""
        pins = re.findall(
            r"^\s*[\"']?([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*==\s*([\w.!]+)(?![\w.*+!])",
            text(self.directory / "requirements.txt") + "\n" + "\n".join(self._dependencies), re.MULTILINE,
        )  # fmt: skip
        return {normal(name): version for name, version in pins} | locks.locked(self.directory)

    @cached_property
    def needs(self) -> list[str]:
        """What must be there beside it."""
        return [service for service, packages in SERVICES.items() if packages & self.packages]

    @cached_property
    def variables(self) -> list[str]:
        """The environment variables without which it does not start."""
        return sorted(set().union(*(module.required for module in self.modules)))

    @cached_property
    def models(self) -> list[Path]:
        """Files that look like a trained model."""
        return sorted(p for p in self.directory.rglob("*") if p.suffix in MODELS and not SKIPPED & set(p.parts))[:20]


def _is(one: Candidate, name: str) -> bool:
    """Say whether a full name, which may begin anywhere in its packages, is this one's."""
    return "." in name and f".{one.app.replace(':', '.')}".endswith(f".{name}")


def text(path: Path) -> str:
    """Return a file's text; none where it cannot be read or is too large to have been written by somebody."""
    try:
        return path.read_text(errors="replace") if path.stat().st_size <= MOST_BYTES else ""
    except OSError:
        return ""


def look_at(path: Path) -> Module | None:
    """Parse one file; none where it is no Python."""
    try:
        tree = ast.parse(text(path))
    except (SyntaxError, ValueError, RecursionError):
        return None
    module = Module(path)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.imports.add(alias.name)
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            module.relative |= node.level > 0
            if node.level == 0 and node.module:
                module.imports.add(node.module)
            prefix = f"{node.module}." if node.module else ""
            names |= {alias.asname or alias.name: f"{prefix}{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call | ast.Subscript):
            _note(node, names, module)
        elif isinstance(node, ast.ClassDef) and any(_full(base, names).endswith("BaseSettings") for base in node.bases):
            module.required |= {
                one.target.id.upper()
                for one in node.body
                if isinstance(one, ast.AnnAssign) and one.value is None and isinstance(one.target, ast.Name)
            } - {"MODEL_CONFIG"}  # fmt: skip
    subclasses = {
        node.name: framework
        for node in tree.body
        if isinstance(node, ast.ClassDef) and (framework := _first(_framework(base, names) for base in node.bases))
    }
    for node in _top(tree.body):
        if isinstance(node, ast.FunctionDef) and not _required_arguments(node):
            if (
                framework := _first(_made(one.value, names, subclasses) for one in _returned_or_assigned(node))
            ) and any(isinstance(one, ast.Return) and one.value is not None for one in ast.walk(node)):
                module.factories[node.name] = framework
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            framework = _made(node.value, names, subclasses | module.factories)
            for target in targets:
                if framework and isinstance(target, ast.Name):
                    module.made[target.id] = framework
                elif isinstance(target, ast.Name) and isinstance(node.value, ast.Call):
                    module.called[target.id] = _full(node.value.func, names)
    return module


def _top(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield what is executed when the module is imported; not what is when it is run."""
    for node in body:
        if isinstance(node, ast.If) and "__name__" in ast.dump(node.test):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _top(node.body)
            yield from _top(getattr(node, "orelse", []))
        else:
            yield node


def _full(node: ast.expr | None, names: dict[str, str]) -> str:
    """Return the full name of what an expression names; an empty one where it names nothing."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_full(node.value, names)}.{node.attr}"
    return ""


def _framework(node: ast.expr | None, names: dict[str, str]) -> str | None:
    name = _full(node, names)
    if name in SHORTER:
        package, _, kind = name.split(".")
        name = f"{package}.{kind}"
    return FRAMEWORKS.get(name)


def _made(node: ast.expr | None, names: dict[str, str], own: dict[str, str]) -> str | None:
    """Name the framework of the application that an expression makes, within another's call too (middleware)."""
    if not isinstance(node, ast.Call):
        return None
    found = _framework(node.func, names)
    if found is None and isinstance(node.func, ast.Name):
        found = own.get(node.func.id)
    return found or _first(_made(one, names, own) for one in (*node.args, *(k.value for k in node.keywords)))


def _returned_or_assigned(node: ast.FunctionDef) -> Iterator[ast.Return | ast.Assign | ast.AnnAssign]:
    for one in ast.walk(node):
        if isinstance(one, ast.Return | ast.Assign | ast.AnnAssign):
            yield one


def _required_arguments(node: ast.FunctionDef) -> bool:
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def _note(node: ast.Call | ast.Subscript, names: dict[str, str], module: Module) -> None:
    """Note what a call or a look-up tells: a variable that must be set, a port, an application within another."""
    if isinstance(node, ast.Subscript):
        if isinstance(node.ctx, ast.Load) and _full(node.value, names) == "os.environ" and _constant(node.slice):
            module.required.add(str(_constant(node.slice)))
        return
    name = _full(node.func, names)
    if name.rpartition(".")[2] in ("mount", "Mount"):
        given = (one for argument in (*node.args, *(k.value for k in node.keywords)) for one in ast.walk(argument))
        module.inside |= {_full(one, names) for one in given if isinstance(one, ast.Name | ast.Attribute)}
    if name in ("decouple.config", "environs.Env") and len(node.args) == 1 and not node.keywords:
        module.required |= {str(_constant(one)) for one in node.args if _constant(one)}
    if name == "uvicorn.run" or (isinstance(node.func, ast.Attribute) and node.func.attr == "run"):
        module.ports |= {
            value for k in node.keywords if k.arg == "port" and isinstance(value := _constant(k.value), int)
        }  # fmt: skip


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _first(found: Iterable[str | None]) -> str | None:
    return next(filter(None, found), None)
