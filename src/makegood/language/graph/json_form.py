"""The picture as JSON, for the web UI and other programs that draw for themselves."""

from __future__ import annotations

from typing import Any

from makegood.language.graph import words
from makegood.language.graph.outline import Node, is_group, outline
from makegood.model import Definition, Step


def to_json(definition: Definition) -> dict[str, Any]:
    """`{name, version, description, nodes, edges}`.

    A node is `{id, kind, label}` and, for a step, `{detail, call, compensation, parent, branch, branches,
    group, anonymous, when, marks, pointer}`; an edge is `{source, target, kind, label}` with the kinds
    that `outline` documents. Steps are in definition order, between `#start` and `#end`.
    """
    made = outline(definition)
    held = {node.id: words.parts(node.step) for node in made.nodes if node.step is not None}
    return {
        "name": definition.name,
        "version": definition.version,
        "description": definition.description,
        "nodes": [_node(node, held) for node in made.nodes],
        "edges": [
            {"source": edge.source, "target": edge.target, "kind": edge.kind, "label": edge.label}
            for edge in made.edges
        ],
    }


def _node(node: Node, held: dict[str, tuple[words.Part, ...]]) -> dict[str, Any]:
    place = {"parent": node.parent, "branch": _branch(node, held)}
    if node.step is None:
        return {"id": node.id, "kind": node.kind, "label": node.kind, **place}
    return {"id": node.id, "kind": node.kind, "label": words.title(node.step), **place, **_facts(node.step)}


def _branch(node: Node, held: dict[str, tuple[words.Part, ...]]) -> dict[str, Any] | None:
    if node.parent is None:
        return None
    part = held[node.parent][node.part]
    return {"index": node.part, "kind": part.kind, "label": part.label}


def _facts(step: Step) -> dict[str, Any]:
    compensation = words.undo(step)
    kind = words.kind_of(step)
    return {
        "detail": words.detail(step),
        "call": words.detail(step) if kind == "call" else None,
        "compensation": None if compensation is None else compensation.call,
        "branches": [{"kind": part.kind, "label": part.label} for part in words.parts(step)],
        "group": is_group(step),
        "anonymous": step.anonymous,
        "when": step.when,
        "marks": [{"kind": mark.kind, "text": mark.text, "says": mark.says} for mark in words.marks(step)],
        "pointer": step.pointer,
    }
