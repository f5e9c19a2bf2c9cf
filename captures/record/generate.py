"""Write the evidence of every case, or of the named ones: `python captures/record/generate.py [case...]`.

The same bytes come out every time: fixed seeds, fixed times, no clock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import admission_denial_loop
import apiserver_lookalikes
import apiserver_overload
import apiserver_throttle_storm
import audit_log_flood
import discovery_burst
import dns_backend_blackhole
import dns_query_flood
import dns_search_chain
import dns_search_lookalikes
import eviction_drain
import imds_credential_storm
import imds_metadataproxy
import kubelet_status_lag
import outage
import quiet
import quiet_workloads
import replica_collapse
import unschedulable_backlog
import watch_list_amplification

CASES: dict[str, Callable[[], None]] = {
    module.NAME: module.main
    for module in (
        *(
            admission_denial_loop,
            apiserver_lookalikes,
            apiserver_overload,
            apiserver_throttle_storm,
            audit_log_flood,
            discovery_burst,
            dns_backend_blackhole,
            dns_query_flood,
            dns_search_chain,
            dns_search_lookalikes,
            imds_credential_storm,
            imds_metadataproxy,
            kubelet_status_lag,
            replica_collapse,
            unschedulable_backlog,
        ),
        watch_list_amplification,
        *(eviction_drain, outage, quiet, quiet_workloads),
    )
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(CASES))
    if unknown:
        print(f"no such case: {', '.join(unknown)}; there are: {', '.join(CASES)}", file=sys.stderr)
        return 2
    for name in names or CASES:
        CASES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
