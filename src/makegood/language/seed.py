"""The older, tagged JSON form, turned into the tree of today. Nothing else knows that form.

It is what a Rust engine's serde writes: each step a mapping with one key, its tag. The new tree is read
like any other; `origins` says where each of its parts came from.
"""

from __future__ import annotations

from typing import Any

from makegood.errors import nearest
from makegood.language.problems import Problems, pointed, shown

TAGS = {
    "ServiceCall": ("id", "service_name", "method", "compensation"),
    "Parallel": ("id", "steps"),
    "Sequential": ("id", "steps"),
    "Conditional": ("id", "condition", "true_branch", "false_branch"),
}
_OPTIONAL = ("compensation", "false_branch")
_STRATEGIES = {"FailFast": "fail_fast", "Compensation": "compensation", "Retry": "retry"}


def is_seed_form(tree: object) -> bool:
    """Whether a definition is written in the tagged form."""
    if not isinstance(tree, dict):
        return False
    if isinstance(tree.get("definition"), dict) and "steps" not in tree:
        return True
    steps = tree.get("steps")
    if not isinstance(steps, list):
        return False
    tagged = any(isinstance(step, dict) and len(step) == 1 and next(iter(step)) in TAGS for step in steps)
    return tagged or (not steps and tree.get("error_handling") in tuple(_STRATEGIES))


def from_seed_form(tree: dict[str, Any], problems: Problems) -> tuple[dict[str, Any], dict[str, str]]:
    """The same definition as a tree of today, and for its pointers those they came from."""
    turner = _Turner(problems)
    return turner.definition(tree), turner.origins


class _Turner:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.origins: dict[str, str] = {"": ""}

    def definition(self, tree: dict[str, Any]) -> dict[str, Any]:
        inner, at, turned = tree, "", {}
        if isinstance(tree.get("definition"), dict) and "steps" not in tree:
            self._keys(tree, ("id", "name", "definition"), "", "The workflow", optional=("id",))
            inner, at = tree["definition"], "/definition"
        elif "name" in tree:
            inner = {key: value for key, value in tree.items() if key not in ("id", "name")}
        if "name" in tree:
            turned["name"] = tree["name"]
        self._keys(inner, ("steps", "error_handling"), at, "The definition")
        strategy = inner.get("error_handling")
        self.origins["/error_handling"] = f"{at}/error_handling"
        if isinstance(strategy, str) and strategy in _STRATEGIES:
            turned["error_handling"] = _STRATEGIES[strategy]
        elif "error_handling" in inner:
            known = ", ".join(_STRATEGIES)
            message = f"`error_handling` must be one of {known} in this form, not {shown(strategy)}."
            self._problems.error("bad_choice", message, f"{at}/error_handling")
        self.origins["/steps"] = f"{at}/steps"
        # That engine completes a workflow without steps; here the empty sequence does.
        turned["steps"] = self._list(inner.get("steps"), f"{at}/steps", "/steps") or [{"sequential": []}]
        return turned

    def _list(self, value: object, at: str, to: str) -> list[Any]:
        if not isinstance(value, list):
            if value is not None:
                self._problems.error("wrong_type", f"This must be a list of steps, not {shown(value)}.", at)
            return []
        return [self._step(step, f"{at}/{nth}", f"{to}/{nth}") for nth, step in enumerate(value)]

    def _step(self, value: object, at: str, to: str) -> dict[str, Any]:
        self.origins[to] = at
        if not isinstance(value, dict) or len(value) != 1:
            tags = ", ".join(TAGS)
            message = (
                f"In this form a step is a mapping with one key, {tags}. "
                "A definition is written in one form throughout."
            )
            self._problems.error("no_kind", message, at)
            return {"sequential": []}
        tag, fields = next(iter(value.items()))
        at = pointed(at, tag)
        if tag not in TAGS:
            message = f"There is no step {shown(tag)} in this form.{nearest(tag[:100], TAGS)}"
            self._problems.error("no_kind", message, at, key=True)
            return {"sequential": []}
        if not isinstance(fields, dict):
            self._problems.error("wrong_type", f"{tag} must be a mapping, not {shown(fields)}.", at)
            return {"sequential": []}
        self._keys(fields, TAGS[tag], at, tag)
        self.origins[to] = at
        turned = {"id": fields["id"]} if "id" in fields else {}
        if tag == "ServiceCall":
            return turned | self._call(fields, at, to)
        if tag == "Conditional":
            return turned | self._conditional(fields, at, to)
        kind = tag.lower()
        self.origins[f"{to}/{kind}"] = f"{at}/steps"
        return turned | {kind: self._list(fields.get("steps"), f"{at}/steps", f"{to}/{kind}")}

    def _call(self, fields: dict[str, Any], at: str, to: str) -> dict[str, Any]:
        self._target_origins(f"{to}/call", at)
        turned: dict[str, Any] = {"call": _target(fields)}
        undo = fields.get("compensation")
        if isinstance(undo, dict):
            self._keys(undo, ("service_name", "method"), f"{at}/compensation", "CompensationAction")
            self._target_origins(f"{to}/compensation", f"{at}/compensation")
            turned["compensation"] = _target(undo)
        elif undo is not None:
            message = f"`compensation` must be {{service_name, method}} or null, not {shown(undo)}."
            self._problems.error("wrong_type", message, f"{at}/compensation")
        return turned

    def _target_origins(self, to: str, at: str) -> None:
        self.origins[to] = at
        self.origins[f"{to}/service"] = f"{at}/service_name"
        self.origins[f"{to}/method"] = f"{at}/method"

    def _conditional(self, fields: dict[str, Any], at: str, to: str) -> dict[str, Any]:
        self.origins[f"{to}/if"] = f"{at}/condition"
        turned: dict[str, Any] = {"if": fields.get("condition", "true")}
        turned["then"] = self._branch(fields.get("true_branch"), f"{at}/true_branch", f"{to}/then")
        if fields.get("false_branch") is not None:
            turned["else"] = self._branch(fields["false_branch"], f"{at}/false_branch", f"{to}/else")
        return turned

    def _branch(self, value: object, at: str, to: str) -> list[Any]:
        """One boxed step; an empty mapping is a branch without steps."""
        self.origins[to] = at
        return [] if value == {} else [self._step(value, at, f"{to}/0")]

    def _keys(
        self, value: dict[str, Any], known: tuple[str, ...], at: str, what: str, optional: tuple[str, ...] = _OPTIONAL
    ) -> None:
        for key in value:
            if key not in known:
                message = f"{what} has no key {shown(key)}.{nearest(key[:100], known)}"
                self._problems.error("unknown_key", message, pointed(at, key), key=True)
        for key in known:
            if key not in value and key not in optional:
                self._problems.error("missing_key", f"{what} needs the key `{key}`.", at)


def _target(fields: dict[str, Any]) -> object:
    """`service.method` where that says the same, else the two apart."""
    service, method = fields.get("service_name"), fields.get("method")
    if isinstance(service, str) and isinstance(method, str) and service and method and "." not in service:
        return f"{service}.{method}"
    return {"service": service, "method": method}
