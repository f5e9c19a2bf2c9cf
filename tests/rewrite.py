"""Rewrite the committed results of every case and the reference in `docs/`: `make reports`.

Look at the difference before you commit it.
"""

from __future__ import annotations

from tests.cases import CASES, REPORTS, ROOT, as_html, as_json, result_of
from tests.reference import pages


def main() -> None:
    for case in CASES:
        (REPORTS / f"{case}.json").write_text(as_json(result_of(case)), encoding="utf-8")
        (REPORTS / f"{case}.html").write_text(as_html(result_of(case)), encoding="utf-8")
    # The page of the stories names the cases whose committed results show them.
    for name, text in pages().items():
        (ROOT / "docs" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
