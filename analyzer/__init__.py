"""Reads what a Kubernetes outage left behind and writes one postmortem."""
