"""Expressions: the CEL core profile over plain Python values. Public names only.

Nothing here reads a clock, draws a random number or does I/O, and no evaluation takes more than
its budget, whatever the expression.
"""

from __future__ import annotations

from makegood.expression.asking import asks, unasked
from makegood.expression.budget import BUDGET_STEPS, Impure
from makegood.expression.errors import (
    BudgetExceeded,
    ExpressionError,
    ExpressionSyntaxError,
    PayloadTooLarge,
)
from makegood.expression.expression import Expression, compile_expression, evaluate, evaluate_condition
from makegood.expression.jsonform import to_json
from makegood.expression.mapping import ValueMapping, compile_mapping
from makegood.expression.paths import Reference
from makegood.expression.template import Template, compile_template
from makegood.expression.values import NONE, CelType, Duration, OptionalValue, Timestamp

__all__ = [
    "BUDGET_STEPS",
    "NONE",
    "BudgetExceeded",
    "CelType",
    "Duration",
    "Expression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "Impure",
    "OptionalValue",
    "PayloadTooLarge",
    "Reference",
    "Template",
    "Timestamp",
    "ValueMapping",
    "asks",
    "compile_expression",
    "compile_mapping",
    "compile_template",
    "evaluate",
    "evaluate_condition",
    "to_json",
    "unasked",
]
