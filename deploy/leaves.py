"""Leaves of an object that the chart has as values, and how both forms of an object are written.

An object is made of dicts and lists. For Kustomize each `Value` is its default; for the chart it is an expression.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

_MARK = "⟦"
_END = "⟧"


@dataclass(frozen=True)
class Value:
    """What the chart's value of that path says."""

    path: str
    default: Any
    pipe: str = ""
    """What the chart does with it: ``quote`` for texts; lists and dicts are written as they are."""


@dataclass(frozen=True)
class InChart:
    """What the chart's own expression says; in Kustomize it is something else, or, with None, not there."""

    expression: str
    otherwise: Any = None


@dataclass(frozen=True)
class When:
    """Holds where a value of the chart's is true, or equal to a text; `default` is whether it does in Kustomize."""

    path: str
    default: bool
    equals: str | None = None
    negated: bool = False
    """Where it is not."""
    also: tuple[str, ...] = ()
    """Other values that have to be true."""

    @property
    def expression(self) -> str:
        """The condition in the language of templates."""
        value = f".Values.{self.path}"
        if self.equals is not None:
            return f'{"ne" if self.negated else "eq"} {value} "{self.equals}"'
        if self.also:
            return " ".join(["and", value, *(f".Values.{path}" for path in self.also)])
        return f"not {value}" if self.negated else value


@dataclass(frozen=True)
class Only:
    """A key, or an item's first key, that is there under a condition."""

    name: str
    when: When


@dataclass(frozen=True)
class Also:
    """A key in whose place the chart has the entries of a dict among its values; in Kustomize there are none."""

    path: str


class Flow(dict[str, Any]):
    """A dict that is written in one line."""


def plain(node: Any) -> Any:
    """Give the object with every default in its place."""
    match node:
        case Value():
            return node.default
        case InChart():
            return node.otherwise
        case dict():
            return type(node)({key_name(key): plain(value) for key, value in node.items() if _is_there(key, value)})
        case list():
            return [plain(item) for item in node if not isinstance(item, dict) or _is_there(*next(iter(item.items())))]
    return node


def key_name(key: Any) -> Any:
    """Give a key as it is written."""
    return key.name if isinstance(key, Only) else key


def _is_there(key: Any, value: Any) -> bool:
    """Tell whether Kustomize has an entry; of a list's item its first decides for all of it."""
    if isinstance(key, Also) or (isinstance(key, Only) and not key.when.default):
        return False
    if isinstance(value, dict) and value:
        return any(_is_there(*entry) for entry in value.items())
    return not (isinstance(value, InChart) and value.otherwise is None)


def template(node: Any) -> str:
    """Write the object as a template of the chart's."""
    text = yaml_text(_marked(node))
    text = re.sub(rf"'?{_MARK}v ([^{_END}]*){_END}'?", lambda found: f"{{{{ {found[1]} }}}}", text)
    text = re.sub(rf"^( *)(- )?(\S.*?: |)'?{_MARK}t ([^{_END}]*){_END}'?$", _block, text, flags=re.MULTILINE)
    text = re.sub(rf"^( *)[\"']?{_MARK}a ([^{_END}]*){_END}[\"']?: null$", _entries, text, flags=re.MULTILINE)
    return _conditions(text)


def _entries(found: re.Match[str]) -> str:
    indent, value = found.groups()
    lines = (f"if {value}", f"toYaml {value} | nindent {len(indent)}", "end")
    return "\n".join(f"{indent}{{{{- {line} }}}}" for line in lines)


def _block(found: re.Match[str]) -> str:
    indent = len(found[1]) + len(found[2] or "") + 2
    return (
        f"{found[1]}{found[2] or ''}{found[3].rstrip()}\n{' ' * indent}{{{{- toYaml {found[4]} | nindent {indent} }}}}"
    )


def _marked(node: Any) -> Any:
    match node:
        case Value(path, default, pipe):
            if isinstance(default, dict | list):
                return f"{_MARK}t .Values.{path}{_END}"
            return f"{_MARK}v .Values.{path}{f' | {pipe}' if pipe else ''}{_END}"
        case InChart(expression):
            return f"{_MARK}v {expression}{_END}"
        case dict():
            return type(node)({_key(key): _marked(value) for key, value in node.items()})
        case list():
            return [_marked(item) for item in node]
    return node


def _key(key: Any) -> Any:
    if isinstance(key, Also):
        return f"{_MARK}a .Values.{key.path}{_END}"
    return f"{_MARK}if {key.when.expression}{_END}{key.name}" if isinstance(key, Only) else key


def _conditions(text: str) -> str:
    """Put an `if` around each line that is marked with one and what is below it."""
    lines: list[str] = []
    open_at: list[int] = []
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        while open_at and indent <= open_at[-1]:
            lines.append(f"{' ' * open_at.pop()}{{{{- end }}}}")
        marked = re.match(rf"( *(?:- )?)[\"']?{_MARK}if ([^{_END}]*){_END}(.*)", line)
        if marked:
            lines.append(f"{' ' * indent}{{{{- if {marked[2]} }}}}")
            open_at.append(indent)
            quoted = re.match(r"([^:\"']*)[\"']:(.*)", marked[3])
            line = marked[1] + (f"{quoted[1]}:{quoted[2]}" if quoted else marked[3])
        lines.append(line)
    lines += [f"{' ' * indent}{{{{- end }}}}" for indent in reversed(open_at)]
    return "\n".join(lines) + "\n"


def values(node: Any) -> Iterator[Value | When]:
    """Find the values in an object."""
    match node:
        case Value() | When():
            yield node
        case Only(_, when):
            yield when
        case Also(path):
            yield Value(path, {})
        case dict():
            for key, value in node.items():
                yield from values(key)
                yield from values(value)
        case list():
            for item in node:
                yield from values(item)


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key and texts of several lines as blocks, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _flow(dumper: yaml.SafeDumper, node: Flow) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", node, flow_style=True)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Flow, _flow)


def yaml_text(document: Any) -> str:
    """Write YAML as people do."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
