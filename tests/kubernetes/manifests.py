"""The objects that Kustomize and Helm make, without either program."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.composed import ROOT

Object = dict[str, Any]

BASE = ROOT / "deploy/k8s/base"
COMPONENTS = ROOT / "deploy/k8s/components"
OVERLAYS = ROOT / "deploy/k8s/overlays"
CHART = ROOT / "deploy/helm/sightglass"
VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())


def objects(*directories: Path) -> Iterator[Object]:
    """Every object in the resources that kustomizations name."""
    for directory in directories:
        for resource in yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]:
            if resource.endswith(".yaml"):
                yield from yaml.safe_load_all((directory / resource).read_text())


def merged(values: Object, changes: Object) -> Object:
    """Values as Helm merges them."""
    both = {**values}
    for key, value in changes.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def of_chart(changes: Object | None = None) -> list[Object]:
    """Every object of the chart's generated templates, with these values beside its own."""
    values = merged(VALUES, changes or {})
    found: list[Object] = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        if path.name != "settings.yaml":  # written by hand: the cluster's to try
            found += [one for one in yaml.safe_load_all(rendered(path.read_text(), values)) if one]
    return found


def rendered(text: str, values: Object) -> str:
    """What the generated templates use of Helm's language, and no more."""
    lines: list[str] = []
    holding = [True]
    for line in text.splitlines():
        condition = re.fullmatch(r" *\{\{- if (.*) \}\}", line)
        if condition:
            holding.append(holding[-1] and bool(_value(condition[1], values)))
        elif re.fullmatch(r" *\{\{- end \}\}", line):
            holding.pop()
        elif holding[-1] and not line.startswith("{{- /*"):
            block = re.fullmatch(r" *\{\{- toYaml (\S+) \| nindent ([0-9]+) \}\}", line)
            if block and lines[-1].endswith(":"):
                lines[-1] += " " + json.dumps(_value(block[1], values))
            elif block:
                entries = _value(block[1], values).items()
                lines += [f"{' ' * int(block[2])}{json.dumps(name)}: {json.dumps(value)}" for name, value in entries]
            else:
                lines.append(re.sub(r"\{\{ (.*?) \}\}", lambda found: json.dumps(_value(found[1], values)), line))
    assert holding == [True]
    return "\n".join(lines)


def _value(expression: str, values: Object) -> Any:
    head, *pipes = expression.split(" | ")
    if pipes and pipes[-1] == "sha256sum":
        return hashlib.sha256(expression.encode()).hexdigest()
    if groups := re.fullmatch(r'\(\.Files\.Get "(.*)" \| fromYaml\)\.groups \| toYaml \| nindent 4', expression):
        return yaml.safe_load((CHART / groups[1]).read_text())["groups"]
    while inner := re.search(r"(?<= )\(([^()]*)\)", head):
        head = head.replace(inner[0], json.dumps(_value(inner[1], values)))
    name, *arguments = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', head)
    given = [_atom(word, values) for word in arguments]
    match name:
        case "not":
            found: Any = not given[0]
        case "and":
            found = all(given)
        case "or":
            found = any(given)
        case "eq":
            found = given[0] == given[1]
        case "ne":
            found = given[0] != given[1]
        case "gt":
            found = given[0] > given[1]
        case "int":
            found = int(given[0])
        case "add":
            found = sum(map(int, given))
        case "div":
            found = int(given[0]) // int(given[1])
        case "default":
            found = given[1] or given[0]
        case "printf":
            found = given[0].replace("%s", "{}").format(*given[1:])
        case "ternary":
            found = given[0] if given[2] else given[1]
        case ".Files.Get":
            found = (CHART / given[0]).read_text()
        case _:
            assert not arguments, expression
            found = _atom(name, values)
    for pipe in pipes:
        assert pipe in {"quote", "toJson", "b64enc", "int64"}, expression
        found = str(found) if pipe == "quote" else found
    return found


def _atom(word: str, values: Object) -> Any:
    if word.startswith('"'):
        return json.loads(word)
    if word.startswith(".Values."):
        node: Any = values
        path = word.removeprefix(".Values.").split(".")
        for part in path:
            node = node.get(part) if path[0] == "settings" else node[part]
        return node
    if word in {"true", "false"}:
        return word == "true"
    return {".Release.Namespace": "sightglass"}.get(word) or int(word)
