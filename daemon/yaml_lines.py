"""YAML that remembers where it came from.

An error in a configuration helps only with its line, and money must not pass through a float. So
the text is composed to YAML's node tree (which has marks) and converted here: mappings, lists,
text, booleans and nulls; **numbers stay the text that was written**, for the models to parse. Only
that much of YAML is accepted: no tags that build objects, no merge keys, no duplicate keys, and no
aliases, of which a few lines may stand for more than fits into memory.
"""

from typing import NamedTuple

import msgspec
import yaml

KeyPath = tuple[str | int, ...]

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_TEXT = frozenset(_PREFIX + name for name in ("str", "timestamp", "value"))
_NUMBERS = frozenset({_PREFIX + "int", _PREFIX + "float"})
_TRUE = frozenset({"true", "yes", "on", "y"})
_MAX_DEPTH = 20
_MAX_COMPOSED = 1000  # the library composes by recursion, and tens of thousands end the process


class Number(str):
    """The text of something that was written as a number, without quotes."""

    __slots__ = ()


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, where it is, and under which key."""

    line: int  # counted from 1
    path: KeyPath
    message: str


class Document(NamedTuple):
    """A parsed file; `value` is usable despite problems, as far as it was understood."""

    value: object  # None: no YAML at all
    lines: dict[KeyPath, int]  # of every key and list item
    problems: tuple[Problem, ...]

    def line_of(self, path: KeyPath) -> int:
        """Return the line of `path`, or of the nearest thing around it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def dotted(path: KeyPath) -> str:
    """Print a path as people write it: `traders[0].size.by`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def read_yaml(text: str) -> Document:
    """Parse one YAML document. Whatever is wrong with it comes back as problems."""
    try:
        if line := _too_deep(text):
            return Document(None, {}, (Problem(line, (), "nested too deeply"),))
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = error.problem or error.context or "not YAML"
        if mark and _is_tab(text, line):
            what = "a line may begin with spaces, not with a tab"
        return Document(None, {}, (Problem(line, (), f"not valid YAML: {what}"),))
    except yaml.YAMLError as error:
        return Document(None, {}, (Problem(1, (), f"not valid YAML: {_first_line(error)}"),))
    except RecursionError:
        return Document(None, {}, (Problem(1, (), "nested too deeply"),))
    builder = _Builder()
    value = {} if node is None else builder.build(node, ())
    return Document(value, builder.lines, tuple(builder.problems))


def _is_tab(text: str, line: int) -> bool:
    lines = text.splitlines()
    found = lines[line - 1] if line <= len(lines) else ""
    return "\t" in found[: len(found) - len(found.lstrip())]


def _too_deep(text: str) -> int:
    """Return the line where it is nested deeper than can be composed; 0: nowhere."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_COMPOSED:
            return event.start_mark.line + 1 if event.start_mark else 1
    return 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class _Builder:
    """Converts nodes to plain values, noting lines and problems on the way."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self._built: set[int] = set()  # ids of nodes: an alias is the node that it stands for

    def build(self, node: yaml.Node, path: KeyPath) -> object:
        if id(node) in self._built:
            line = self.lines.get(path) or self.lines[path[:-1]]
            self.problems.append(Problem(line, path, "an alias is not accepted; write it out"))
            return None
        self._built.add(id(node))
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > _MAX_DEPTH:
            return self._refuse(node, path, "nested too deeply")
        if isinstance(node, yaml.MappingNode) and node.tag == _PREFIX + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _PREFIX + "seq":
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._refuse(node, path, f"the YAML tag {node.tag} is not accepted")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TEXT | _NUMBERS:
                self._refuse(key_node, path, "a key must be plain text")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in result:
                first = self.lines[here]
                self._refuse(key_node, here, f"given twice; first in line {first}")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, here)
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        if node.tag in _NUMBERS:
            return Number(node.value)
        if node.tag in _TEXT:
            return str(node.value)
        if node.tag == _PREFIX + "bool":
            return str(node.value).lower() in _TRUE
        if node.tag == _PREFIX + "null":
            return None
        return self._refuse(node, path, f"the YAML tag {node.tag} is not accepted")

    def _refuse(self, node: yaml.Node, path: KeyPath, message: str) -> object:
        self.problems.append(Problem(node.start_mark.line + 1, path, message))
        return None
