"""An audit log through DuckDB's reader of JSON lines, with the columns that we keep too, into a table in memory."""

from __future__ import annotations

import importlib
import sys
from typing import Any

duckdb: Any = importlib.import_module("duckdb")

COLUMNS = {
    "auditID": "VARCHAR",
    "stage": "VARCHAR",
    "level": "VARCHAR",
    "requestURI": "VARCHAR",
    "verb": "VARCHAR",
    "user": "STRUCT(username VARCHAR, groups VARCHAR[])",
    "sourceIPs": "VARCHAR[]",
    "userAgent": "VARCHAR",
    "objectRef": "STRUCT(resource VARCHAR, namespace VARCHAR, name VARCHAR, subresource VARCHAR, apiGroup VARCHAR)",
    "responseStatus": "STRUCT(code INTEGER, reason VARCHAR)",
    "requestReceivedTimestamp": "TIMESTAMP",
    "stageTimestamp": "TIMESTAMP",
    "annotations": "MAP(VARCHAR, VARCHAR)",
}

rows = duckdb.sql(
    "create table events as select * from read_json($1, format='newline_delimited', columns=$2, ignore_errors=true)",
    params=[sys.argv[1], COLUMNS],
)
print(duckdb.sql("select count(*) from events").fetchall())
