"""An audit policy as kube-apiserver reads it, applied to single events: the oracle for generated policies.

Written from apiserver `pkg/audit/policy/checker.go` (ruleMatches, ruleMatchesResource, pathMatches) and
`pkg/apis/audit/types.go`; it shares nothing with the detector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

LEVELS = ("None", "Metadata", "Request", "RequestResponse")


class Policy:
    def __init__(self, text: str) -> None:
        document = yaml.safe_load(text)
        assert document["apiVersion"] == "audit.k8s.io/v1"
        assert document["kind"] == "Policy"
        assert set(document) <= {"apiVersion", "kind", "metadata", "omitStages", "rules"}
        self.omitted = set(document.get("omitStages", []))
        self.rules: list[dict[str, Any]] = document["rules"]
        for rule in self.rules:
            assert rule["level"] in LEVELS
            assert set(rule) <= {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs"}
            assert not (rule.get("resources") and rule.get("nonResourceURLs"))

    def level(self, event: Mapping[str, Any]) -> str:
        """The level of the first rule that fits; None without any, as the server does."""
        return next((rule["level"] for rule in self.rules if self._fits(rule, event)), "None")

    def left(self, event: Mapping[str, Any]) -> int:
        """Bytes that the record would have had. `event` has the columns of AUDIT_EVENTS."""
        level = self.level(event)
        if level == "None" or event["stage"] in self.omitted:
            return 0
        size = int(event["event_bytes"])
        if level in ("Metadata",):
            size -= event["request_body_bytes"]
        if level in ("Metadata", "Request"):
            size -= event["response_body_bytes"]
        return size

    def _fits(self, rule: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        if rule.get("users") and event["user"] not in rule["users"]:
            return False
        if rule.get("verbs") and event["verb"] not in rule["verbs"]:
            return False
        if rule.get("namespaces") and (event["namespace"] or "") not in rule["namespaces"]:
            return False
        resources, paths = rule.get("resources"), rule.get("nonResourceURLs")
        if not resources and not paths:
            return True
        if event["resource"] is not None:
            return any(self._resource(one, event) for one in resources or [])
        path = (event["uri"] or "").split("?")[0]
        return any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in paths or [])

    def _resource(self, one: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
        if one["group"] != (event["api_group"] or ""):
            return False
        name = event["resource"] + (f"/{event['subresource']}" if event["subresource"] else "")
        wanted = one.get("resources", [])
        return not wanted or any(each in (name, "*", f"{event['resource']}/*") for each in wanted)
