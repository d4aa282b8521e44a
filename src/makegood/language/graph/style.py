"""The style sheet inside the picture: colours for light and dark, fonts, lines.

Every name begins with `mg-`, because the picture may stand inside a page that has styles of its own.
"""

_LIGHT = {
    "paper": "#ffffff", "card": "#ffffff", "text": "#0f172a", "muted": "#55637a", "edge": "#8a97ab",
    "border": "#cbd5e1", "shade": "#f1f5f9", "tint": "0.06",
    "call": "#2563eb", "workflow": "#4f46e5", "wait": "#7c3aed", "signal": "#0f766e", "set": "#52627a",
    "fail": "#dc2626", "choice": "#0369a1", "parallel": "#475569", "loop": "#6d28d9", "scope": "#15803d",
    "catch": "#dc2626", "undo": "#b4500b", "pivot": "#c2410c", "pivotfill": "#fff4e6",
}  # fmt: skip

_DARK = {
    "paper": "#0d1424", "card": "#162033", "text": "#e6ebf4", "muted": "#9aa8bf", "edge": "#64748b",
    "border": "#33415a", "shade": "#1f2b42", "tint": "0.08",
    "call": "#6ea3ff", "workflow": "#a3a0ff", "wait": "#b794ff", "signal": "#4fd1bf", "set": "#9fb0c9",
    "fail": "#ff8080", "choice": "#5cc0f5", "parallel": "#94a3b8", "loop": "#b794ff", "scope": "#5fd38a",
    "catch": "#ff8080", "undo": "#f5a65b", "pivot": "#ffab5e", "pivotfill": "#2c2013",
}  # fmt: skip

_COLOURS = {
    "call": "call", "workflow": "workflow", "wait": "wait", "signal": "signal", "set": "set",
    "fail": "fail", "if": "choice", "switch": "choice", "parallel": "parallel", "sequential": "parallel",
    "foreach": "loop", "repeat": "loop", "try": "scope", "body": "scope", "catch": "catch",
    "finally": "parallel", "undo": "undo",
}  # fmt: skip

_RULES = """
.mg-graph text{fill:var(--mg-text);
font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,"Noto Sans",sans-serif}
.mg-graph .mg-code{font:11.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.mg-graph .mg-title{font-size:13px;font-weight:600}
.mg-graph .mg-small{font-size:10.5px}
.mg-graph .mg-caption{font-size:11.5px;font-weight:600}
.mg-graph .mg-heading{font-size:20px;font-weight:700;letter-spacing:-.01em}
.mg-graph .mg-note{font-size:12px}
.mg-graph .mg-muted{fill:var(--mg-muted)}
.mg-graph .mg-when{fill:var(--mg-choice)}
.mg-paper{fill:var(--mg-paper)}
.mg-flow,.mg-again,.mg-error,.mg-back{fill:none;stroke:var(--mg-edge);stroke-width:1.5;stroke-linejoin:round}
.mg-again{stroke:var(--mg-loop)}
.mg-error{stroke:var(--mg-catch);stroke-dasharray:5 4}
.mg-back{stroke:var(--mg-undo);stroke-dasharray:3 3}
.mg-tip-flow{fill:var(--mg-edge)}
.mg-tip-again{fill:var(--mg-loop)}
.mg-tip-error{fill:var(--mg-catch)}
.mg-tip-back{fill:var(--mg-undo)}
.mg-box{fill:var(--mg-card);stroke:var(--mg-border);stroke-width:1.2}
.mg-accent{fill:var(--mg-c)}
.mg-decision .mg-box,.mg-pill .mg-box,.mg-flag .mg-box,.mg-slip .mg-box,.mg-stop .mg-box{stroke:var(--mg-c)}
.mg-stop .mg-box{stroke-width:1.8}
.mg-rail{stroke:var(--mg-c);stroke-width:1.2;fill:none}
.mg-pivot .mg-box{stroke:var(--mg-pivot);stroke-width:2.2;fill:var(--mg-pivotfill)}
.mg-pivot .mg-accent{fill:var(--mg-pivot)}
.mg-gem{fill:var(--mg-pivot);stroke:var(--mg-card);stroke-width:1.5}
.mg-icon{fill:none;stroke:var(--mg-c,var(--mg-muted));stroke-width:1.5;stroke-linecap:round;stroke-linejoin:round}
.mg-chip{fill:var(--mg-shade)}
.mg-mark-pivot .mg-chip{fill:var(--mg-pivot)}
.mg-graph .mg-mark-pivot text{fill:var(--mg-card);font-weight:600}
.mg-tag{fill:var(--mg-paper);stroke:var(--mg-choice);stroke-width:1}
.mg-undo rect{fill:var(--mg-paper);stroke:var(--mg-undo);stroke-width:1.1;stroke-dasharray:3 3}
.mg-graph .mg-undo text{fill:var(--mg-undo)}
.mg-tint{fill:var(--mg-c);fill-opacity:var(--mg-tint);stroke:var(--mg-c);stroke-opacity:.5;stroke-width:1.2}
.mg-graph .mg-frame text,.mg-graph .mg-tab text{fill:var(--mg-c)}
.mg-k-catch .mg-tint{stroke-dasharray:5 4}
.mg-bar{fill:var(--mg-c)}
.mg-dot{fill:var(--mg-edge)}
.mg-start{fill:var(--mg-signal)}
.mg-end{fill:none;stroke:var(--mg-muted);stroke-width:1.6}
.mg-core{fill:var(--mg-muted)}
"""


def style_sheet() -> str:
    """The whole sheet, on as few lines as stay readable."""
    kinds = "".join(f".mg-k-{kind}{{--mg-c:var(--mg-{colour})}}" for kind, colour in _COLOURS.items())
    dark = f"@media (prefers-color-scheme:dark){{.mg-graph{{{_variables(_DARK)}}}}}"
    return f".mg-graph{{{_variables(_LIGHT)}}}\n{dark}\n{kinds}{_RULES}"


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--mg-{name}:{value}" for name, value in colours.items())
