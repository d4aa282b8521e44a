"""The picture as a Mermaid flowchart, for READMEs and documents.

Node names are numbers, so that no id can be mistaken for syntax; whatever users wrote stands in quoted
labels, with every character that Mermaid gives a meaning written as an entity.
"""

from __future__ import annotations

from makegood.language.graph import words
from makegood.language.graph.outline import START, Edge, Node, Outline, is_group, outline
from makegood.model import Definition, Step

LABEL_CHARS_MAX = 80

_SHAPES = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "join": ("[[", "]]"),
    "call": ("[", "]"),
    "parallel": ("[[", "]]"),
    "if": ("{", "}"),
    "switch": ("{", "}"),
    "wait": ("([", "])"),
    "signal": (">", "]"),
    "workflow": ("[[", "]]"),
    "set": ("[/", "/]"),
    "fail": ("{{", "}}"),
}

_PLAIN = frozenset(" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:_-+*/=!?'$×·…")
_NAMED = {'"': "#quot;", "&": "#amp;", "<": "#lt;", ">": "#gt;"}


def to_mermaid(definition: Definition) -> str:
    """A `flowchart TD` of the definition."""
    return "\n".join(_Chart(outline(definition)).lines(definition.name)) + "\n"


def escaped(text: str) -> str:
    """Text for the inside of a quoted label."""
    shown = words.one_line(text)
    if len(shown) > LABEL_CHARS_MAX:
        shown = shown[: LABEL_CHARS_MAX - 1] + "…"
    return "".join(_character(each) for each in shown)


def _character(each: str) -> str:
    if each in _PLAIN or (ord(each) > 0xA0 and each.isalnum()):
        return each
    if each in _NAMED:
        return _NAMED[each]
    # Neither a lone surrogate nor a control character is text that a browser could show.
    number = ord(each) if each.isprintable() else 0xFFFD
    return f"#{number};"


class _Chart:
    """Writes nodes inside their groups, then the edges.

    A group has a small circle where it is entered and, unless it is a loop, one where it is left: edges to a
    subgraph itself make Mermaid's layout fail once they are nested.
    """

    def __init__(self, made: Outline) -> None:
        self.made = made
        self.names = {node.id: f"n{number}" for number, node in enumerate(made.nodes)}
        self.children: dict[tuple[str, int], list[Node]] = {}
        self.groups = {node.id for node in made.nodes if node.step is not None and is_group(node.step)}
        self.left = {edge.target for edge in made.edges if edge.kind == "leave"}
        self.out: list[str] = []

    def lines(self, name: str) -> list[str]:
        self.out = ["flowchart TD"]
        top = self._by_group()
        for node in top:
            self._node(node, 1, name)
        for edge in self.made.edges:
            self._edge(edge)
        for node in self.made.nodes:
            self._undo(node)
        pivots = [node for node in self.made.nodes if node.step and _is_pivot(node.step)]
        if pivots:
            self.out.append("  classDef pivot stroke-width:4px")
            self.out.append(f"  class {','.join(self.names[node.id] for node in pivots)} pivot")
        return self.out

    def _by_group(self) -> list[Node]:
        """Sorts the nodes into the group that holds them; returns those that none does."""
        holder: dict[str, tuple[str, int] | None] = {}
        top = []
        for node in self.made.nodes:
            place = None
            if node.parent is not None:
                place = (node.parent, node.part) if node.parent in self.groups else holder[node.parent]
            holder[node.id] = place
            if place is None:
                top.append(node)
            else:
                self.children.setdefault(place, []).append(node)
        return top

    def _node(self, node: Node, depth: int, name: str = "") -> None:
        pad = "  " * depth
        if node.step is not None and is_group(node.step):
            self._group(node, node.step, depth)
            return
        left, right = _SHAPES[node.kind]
        label = escaped(name or "start") if node.id == START else _label(node)
        self.out.append(f'{pad}{self.names[node.id]}{left}"{label}"{right}')

    def _group(self, node: Node, step: Step, depth: int) -> None:
        pad, name = "  " * depth, self.names[node.id]
        self.out.append(f'{pad}subgraph {name} ["{_label(node)}"]')
        self.out.append(f'{pad}  {name}i((" "))')
        held = words.parts(step)
        for number, part in enumerate(held):
            inner = self.children.get((node.id, number), [])
            if len(held) == 1:
                self._inside(inner, depth + 1)
                continue
            self.out.append(f'{pad}  subgraph {name}p{number} ["{escaped(part.label or part.kind)}"]')
            self._inside(inner, depth + 2)
            self.out.append(f"{pad}  end")
        if node.id in self.left:
            self.out.append(f'{pad}  {name}o((" "))')
        self.out.append(f"{pad}end")

    def _inside(self, nodes: list[Node], depth: int) -> None:
        for node in nodes:
            self._node(node, depth)

    def _edge(self, edge: Edge) -> None:
        source, target = self.names[edge.source], self.names[edge.target]
        if edge.source in self.groups:
            # Inside a group everything starts at its entry; from outside a loop does too.
            inside = edge.kind in ("enter", "error") or edge.source == edge.target
            source += "o" if edge.source in self.left and not inside else "i"
        if edge.target in self.groups:
            target += "o" if edge.kind == "leave" else "i"
        if source == target:
            return
        label = f'|"{escaped(edge.label)}"|' if edge.label else ""
        arrow = "-.->" if edge.kind in ("error", "again") else "-->"
        self.out.append(f"  {source} {arrow}{label} {target}")

    def _undo(self, node: Node) -> None:
        compensation = None if node.step is None else words.undo(node.step)
        if compensation is None:
            return
        name = self.names[node.id]
        self.out.append(f'  {name}u>"{escaped("undo: " + compensation.call)}"]')
        self.out.append(f"  {name} -.-> {name}u")


def _is_pivot(step: Step) -> bool:
    return any(mark.kind == "pivot" for mark in words.marks(step))


def _label(node: Node) -> str:
    if node.step is None:
        return node.kind
    step = node.step
    head = words.title(step) if step.anonymous or node.kind == "call" else f"{node.kind} {words.title(step)}"
    lines = [head, words.detail(step)]
    lines.append(f"when {words.one_line(step.when)}" if step.when is not None else "")
    lines.append(" · ".join(mark.text for mark in words.marks(step)))
    return "<br/>".join(escaped(line) for line in lines if line)
