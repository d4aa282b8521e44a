"""What lies in deploy/, read strictly: a key twice, or a text that only looks like a number, is a mistake."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
BASE = DEPLOY / "kubernetes/base"
DISCOVERY = DEPLOY / "kubernetes/discovery"
CHART = DEPLOY / "helm/makegood"
RENDERED = ROOT / "tests/deploy/rendered"
DSN = "postgresql://makegood:secret@db.internal/makegood"
"""What a Secret would hold."""


class Strict(yaml.SafeLoader):
    """YAML in which every reader sees the same."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        # YAML 1.1 and 1.2 disagree about them: quote them, or write what is meant.
        looks_like = re.fullmatch(r"(?i:y|n|yes|no|on|off)|0[0-7]+|[0-9]+(:[0-9]+)+", node.value)
        if node.style is None and looks_like:
            raise yaml.constructor.ConstructorError(None, None, f"ambiguous: {node.value}", node.start_mark)
        return super().construct_scalar(node)


def documents(path: Path) -> list[Any]:
    """The documents of a YAML file that are not empty."""
    return [each for each in yaml.load_all(path.read_text(encoding="utf-8"), Strict) if each is not None]


def one(path: Path) -> Any:
    (document,) = documents(path)
    return document


def base() -> list[dict[str, Any]]:
    """The objects of the kustomize base, as its kustomization names them."""
    kustomization = one(BASE / "kustomization.yaml")
    found = [each for name in kustomization["resources"] for each in documents(BASE / name)]
    labels = {name: value for group in kustomization["labels"] for name, value in group["pairs"].items()}
    for each in found:
        each["metadata"]["labels"] = {**labels, **each["metadata"].get("labels", {})}
    for made in kustomization["configMapGenerator"]:
        data = {name: (BASE / name).read_text(encoding="utf-8") for name in made["files"]}
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": made["name"]}, "data": data})
    return found


SETS: dict[str, list[dict[str, Any]]] = {
    "base": base(),
    **{f"helm-{name}": documents(RENDERED / f"{name}.yaml") for name in ("defaults", "every-value", "least")},
}
"""Every set of Kubernetes objects."""


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every pod that is described: the kind and name of what makes it, its metadata, its spec."""
    for each in objects:
        template = each.get("spec", {}).get("template")
        if template is not None:
            yield f"{each['kind']}/{each['metadata']['name']}", template["metadata"], template["spec"]


def kind(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The only object of a kind."""
    (found,) = [each for each in objects if each["kind"] == name]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The variables of a container; what a Secret would give is a connection string."""
    return {each["name"]: each.get("value", DSN) for each in container.get("env", ())}


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """The sections of a systemd unit; a key may stand there several times."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith(("#", ";")):
            continue
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = sections.setdefault(found[1], {})
            continue
        name, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z]\w+", name):
            raise configparser.ParsingError(f"{path.name}: {line!r}")
        section.setdefault(name, []).append(value)
    return sections
