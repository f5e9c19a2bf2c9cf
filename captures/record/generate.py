"""Write the evidence of every case, or of the named ones: `python captures/record/generate.py [case...]`.

A case is a module beside this one with a constant `NAME` and a function `main`. The same bytes come out every time:
fixed seeds, fixed times, no clock.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def cases() -> dict[str, Callable[[], None]]:
    """The function that writes each case, by the case's name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path != Path(__file__))
    modules = [importlib.import_module(name) for name in names]
    return {module.NAME: module.main for module in modules if hasattr(module, "NAME")}


def main(names: list[str]) -> int:
    known = cases()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no such case: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        known[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
