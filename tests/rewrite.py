"""Rewrite the committed results of every case: `make reports`. Look at the difference before you commit it."""

from __future__ import annotations

from tests.cases import CASES, REPORTS, as_html, as_json, result_of


def main() -> None:
    REPORTS.mkdir(exist_ok=True)
    for case in CASES:
        (REPORTS / f"{case}.json").write_text(as_json(result_of(case)), encoding="utf-8")
        (REPORTS / f"{case}.html").write_text(as_html(result_of(case)), encoding="utf-8")


if __name__ == "__main__":
    main()
