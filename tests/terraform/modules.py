"""The modules of deploy/terraform, parsed, and what a provider's schema has against one."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).resolve().parents[2]
TERRAFORM = ROOT / "deploy/terraform"
DIRECTORIES = [TERRAFORM, TERRAFORM / "in-cluster", *sorted((TERRAFORM / "modules").iterdir())]
Block = dict[str, Any]

_META = {"count", "for_each", "depends_on", "lifecycle", "provider", "provisioner", "timeouts"}


@cache
def module(directory: Path) -> dict[str, list[Block]]:
    """Every block of a directory's files, by its type."""
    return parsed("\n".join(path.read_text() for path in sorted(directory.glob("*.tf"))))


def parsed(text: str) -> dict[str, list[Block]]:
    """The same of a text."""
    found: dict[str, list[Block]] = hcl2.loads(text)
    return found


def labelled(blocks: list[Block], labels: int) -> Iterator[tuple[Any, ...]]:
    """Each block's labels and, last, its content."""
    for block in blocks:
        path: list[Any] = []
        node: Any = block
        for _ in range(labels):
            ((label, node),) = [(key, value) for key, value in node.items() if key != "__is_block__"]
            path.append(label.strip('"'))
        yield (*path, node)


def named(blocks: list[Block]) -> dict[str, Block]:
    """Blocks of one label, by it."""
    return dict(labelled(blocks, 1))


def used() -> tuple[list[str], list[str]]:
    """The types of AWS resources and data sources there are."""

    def types(kind: str) -> list[str]:
        every = {name for directory in DIRECTORIES for name, *_ in labelled(module(directory).get(kind, []), 2)}
        return sorted(name for name in every if name.startswith("aws_"))

    return types("resource"), types("data")


@cache
def schema() -> Block:
    """What tests/support/aws_schema.py has taken out of the provider's package."""
    found: Block = json.loads((Path(__file__).parent / "aws.json").read_text())
    return found


def arguments(content: Block) -> Block:
    """What a block sets, less what every one may have."""
    return {key: value for key, value in content.items() if key not in _META and not key.startswith("__")}


def faults(blocks: dict[str, list[Block]]) -> Iterator[str]:
    """What the provider would refuse of a module's AWS resources and data sources."""
    for kind in ("resource", "data"):
        for type_, name, content in labelled(blocks.get(kind, []), 2):
            if type_.startswith("aws_"):
                place = f"{type_}.{name}"
                if type_ not in schema()[kind]:
                    yield f"{place}: no such {kind}"
                else:
                    yield from _of_block(place, content, schema()[kind][type_]["arguments"])
    for name, content in labelled(blocks.get("provider", []), 1):
        if name == "aws":
            yield from _of_block("provider.aws", content, schema()["provider"])


def _of_block(place: str, content: Block, known: Block) -> Iterator[str]:
    given = dict(arguments(content))
    for dynamic in given.pop("dynamic", []):
        ((label, inner),) = [(key, value) for key, value in dynamic.items() if key != "__is_block__"]
        given.setdefault(label.strip('"'), inner["content"])
    for name in sorted(set(given) - set(known)):
        yield f"{place}.{name}: no such argument"
    for name, one in known.items():
        if name in given:
            yield from _of_argument(f"{place}.{name}", given[name], one)
        elif one.get("required"):
            yield f"{place}.{name}: required"


def _of_argument(place: str, value: Any, one: Block) -> Iterator[str]:
    is_block = (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "__is_block__" in v for v in value)
    )
    if one["type"] == "block" or is_block:
        if not is_block:
            yield f"{place}: a block"
        elif one["type"] != "block":
            yield f"{place}: not a block"
        elif len(value) > 1 and not one["many"]:
            yield f"{place}: one block only"
        else:
            for block in value:
                yield from _of_block(place, block, one["arguments"])
    elif not _fits(value, one["type"]):
        yield f"{place}: not a {one['type']}"


def _fits(value: Any, kind: str) -> bool:
    """Whether a literal can become such a value; what an expression gives, nobody knows here."""
    if value is None or (isinstance(value, str) and "${" in value):
        return True
    text = value.strip('"') if isinstance(value, str) else value
    match kind:
        case "list":
            return isinstance(value, list)
        case "map":
            return isinstance(value, dict)
        case "bool":
            return isinstance(value, bool) or text in ("true", "false")
        case "number":
            return not isinstance(value, bool | list | dict) and re.fullmatch(r"-?[0-9.]+", str(text)) is not None
    return not isinstance(value, list | dict)


_REFERENCE = re.compile(
    r"(?<![\w.\"])(data\.)?(aws_\w+)\.(\w+)(?:\[[^][]*\])?(?:\.(\w+)(?:\[[^][]*\])?(?:\.(\w+))?)?",
)


def broken_references(text: str) -> Iterator[str]:
    """References to resources that are not there, or to attributes that these do not have."""
    blocks = parsed(text)
    there = {
        kind: {(type_, name) for type_, name, _ in labelled(blocks.get(kind, []), 2)} for kind in ("resource", "data")
    }
    for data, type_, name, attribute, within in _REFERENCE.findall(re.sub(r"#.*", "", text)):
        kind = "data" if data else "resource"
        place = f"{data}{type_}.{name}"
        if (type_, name) not in there[kind]:
            yield f"{place}: not there"
        elif attribute and attribute not in (known := schema()[kind][type_]["attributes"]):
            yield f"{place}.{attribute}: no such attribute"
        elif within and known[attribute] and within not in known[attribute]:
            yield f"{place}.{attribute}.{within}: no such attribute"
