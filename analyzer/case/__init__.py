"""A case: the tables of one investigation, the ledger of its inputs, and where each record can be found again.

On disk it is a folder of Parquet files, `<table>/bucket=NN/<input>-<part>.parquet`, beside `case.json`. A saved case
can be judged again with other settings without reading, or even having, the raw files.
"""

from __future__ import annotations

from analyzer.case.folder import FILE, Writer, is_case, load
from analyzer.case.model import Case, Place, Rows, beside, merged
from analyzer.case.parts import Parts

__all__ = ["FILE", "Case", "Parts", "Place", "Rows", "Writer", "beside", "is_case", "load", "merged"]
