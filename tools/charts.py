"""What helm makes of the chart: `python tools/charts.py --helm PATH` renders it into tests/deploy/rendered anew.

helm is no Python package, so the tests cannot run it: they look at what it made. Each file says which chart
and which values it was made of, so that an edit of the chart without rendering it again is seen.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/makegood"
RENDERED = ROOT / "tests/deploy/rendered"
KUBERNETES = "1.33.0"
"""The version that the chart is told it is rendered for."""


def main() -> int:
    """Check the chart with `helm lint`, and render it with each of the values there are."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--helm", default="helm", metavar="PATH", help="helm 3 or later; otherwise from PATH")
    helm = arguments.parse_args().helm
    for values in sorted(RENDERED.glob("*.values.yaml")):
        given = ["--values", str(values), "--kube-version", KUBERNETES]
        subprocess.run([helm, "lint", "--strict", "--quiet", str(CHART), *given], check=True)
        command = [helm, "template", "makegood", str(CHART), "--namespace", "shop", *given]
        made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        target = rendered(values)
        target.write_text(f"{stamp(values)}\n{made}", encoding="utf-8")
        print(f"wrote {target.relative_to(ROOT)}")
    return 0


def rendered(values: Path) -> Path:
    """Where what these values give is kept."""
    return values.with_name(values.name.replace(".values.yaml", ".yaml"))


def stamp(values: Path) -> str:
    """The first line of a rendered file: a name for all that it was made of."""
    digest = hashlib.sha256()
    for path in [values, *sorted(path for path in CHART.rglob("*") if path.is_file())]:
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(path.read_bytes() + b"\0")
    return f"# Written by `python tools/charts.py` from the chart {digest.hexdigest()[:16]}; do not edit."


if __name__ == "__main__":
    raise SystemExit(main())
