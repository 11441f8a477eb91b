"""What the AWS provider takes and tells, as the package of its Python bindings has it.

``python -m tests.support.aws_schema WHEEL`` writes tests/terraform/aws.json: the schema of what deploy/terraform
uses. The package is read, not run.
"""

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.terraform.modules import used

PACKAGE = "cdktf-cdktf-provider-aws==21.22.1"
KEPT = Path(__file__).resolve().parents[1] / "terraform/aws.json"
_OF_EVERY_RESOURCE = {
    *("connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners", "timeouts"),
}
_OF_THE_BINDINGS = re.compile(r"_input$|^(cdktf|terraform_|friendly_|construct_|raw_)|^(fqn|node|internal_value)$")


class Bindings:
    """The module of one resource, data source, or of the provider."""

    def __init__(self, text: str) -> None:
        """Read a module's text."""
        self._classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """The arguments, with their type, and the arguments of those that are blocks."""
        (config,) = [name for name in self._classes if name.endswith("Config") and self._bases(name)]
        return self._arguments(config)

    def _bases(self, name: str) -> list[str]:
        of_a_resource = ("TerraformResource", "TerraformDataSource", "TerraformProvider")
        main = [
            n for n, node in self._classes.items() if any(ast.unparse(b).endswith(of_a_resource) for b in node.bases)
        ]
        return [n for n in main if f"{n}Config" == name]

    def _arguments(self, name: str) -> dict[str, Any]:
        (init,) = [n for n in self._methods(name) if n.name == "__init__"]
        told = ast.get_docstring(init) or ""
        found: dict[str, Any] = {}
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True):
            if argument.arg in _OF_EVERY_RESOURCE or argument.annotation is None:
                continue
            kind = ast.unparse(argument.annotation)
            one: dict[str, Any] = {} if default is not None else {"required": True}
            struct = next((word for word in re.findall(r"\w+", kind) if word in self._classes), None)
            if struct:
                syntax = "block" if f":param {argument.arg}: {argument.arg} block." in told else "object"
                one |= {"type": syntax, "many": "Sequence" in kind, "arguments": self._arguments(struct)}
            else:
                one |= {"type": _simple(kind)}
            found[argument.arg] = one
        return found

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What can be referred to, and what is within, or nothing."""
        (config,) = [name for name in self._classes if name.endswith("Config") and self._bases(name)]
        return self._attributes(config.removesuffix("Config"))

    def _attributes(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for method in self._methods(name):
            read = any(ast.unparse(one) == "builtins.property" for one in method.decorator_list)
            if read and not _OF_THE_BINDINGS.search(method.name) and method.returns is not None:
                within = re.search(r"'?(\w+?)(?:List|OutputReference)'?$", ast.unparse(method.returns))
                struct = f"{within[1]}OutputReference" if within else ""
                found[method.name] = self._attributes(struct) if struct in self._classes else {}
        return {key: found[key] for key in sorted(found) if key not in _OF_EVERY_RESOURCE}

    def _methods(self, name: str) -> Iterator[ast.FunctionDef]:
        yield from (node for node in self._classes[name].body if isinstance(node, ast.FunctionDef))


def _simple(kind: str) -> str:
    if "Mapping" in kind:
        return "map"
    if "Sequence" in kind:
        return "list"
    return "number" if "Number" in kind else "bool" if "builtins.bool" in kind else "string"


def schema(wheel: Path) -> dict[str, Any]:
    """Return the schema of what the modules use, out of the package's wheel."""
    with zipfile.ZipFile(wheel) as package:

        def of(module: str) -> Bindings:
            return Bindings(package.read(f"cdktf_cdktf_provider_aws/{module}/__init__.py").decode())

        def both(module: str) -> dict[str, Any]:
            bindings = of(module)
            return {"arguments": bindings.arguments, "attributes": bindings.attributes}

        resources, sources = used()
        return {
            "package": PACKAGE,
            "provider": {name: one for name, one in of("provider").arguments.items() if name != "endpoints"},
            "resource": {name: both(name.removeprefix("aws_")) for name in resources},
            "data": {name: both(name.replace("aws_", "data_aws_", 1)) for name in sources},
        }


def text(found: dict[str, Any]) -> str:
    """Write it, a resource a line."""
    lines = [f'"package": {json.dumps(found["package"])}', f'"provider": {json.dumps(found["provider"])}']
    for kind in ("resource", "data"):
        each = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found[kind].items())
        lines.append(f'"{kind}": {{\n{each}\n}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    KEPT.write_text(text(schema(Path(sys.argv[1]))))
