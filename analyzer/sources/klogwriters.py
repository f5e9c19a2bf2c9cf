"""Which component wrote a klog: by the prefix of its lines, else by the source files that only it has."""

from __future__ import annotations

import polars as pl

from analyzer.sources.contract import Item

_ALIASES = {"kubenswrapper": "kubelet", "hyperkube": "kubelet", "hollow-kubelet": "kubelet"}
"""OpenShift runs its kubelet under these names."""

_KNOWN = (
    r"^(?:kubelet|kube-[a-z-]+|cloud-controller-manager|k3s(?:-agent|-server)?|rke2(?:-agent|-server)?|microk8s\..*)$"
)

_FILES: dict[str, tuple[str, ...]] = {
    "kubelet": (
        *("kubelet.go", "kubelet_pods.go", "kubelet_node_status.go", "kubelet_getters.go", "kubelet_volumes.go"),
        *("pod_workers.go", "prober.go", "prober_manager.go", "kuberuntime_manager.go", "kuberuntime_container.go"),
        *("kuberuntime_sandbox.go", "kuberuntime_gc.go", "remote_runtime.go", "remote_image.go", "eviction_manager.go"),
        *(
            "pod_container_deletor.go",
            "image_gc_manager.go",
            "reconciler_common.go",
            "cpu_manager.go",
            "status_manager.go",
        ),
        *("pod_startup_latency_tracker.go", "desired_state_of_world_populator.go", "topology_manager.go", "setters.go"),
        *("container_manager_linux.go", "memory_manager.go", "volume_manager.go", "plugin_watcher.go", "pleg.go"),
    ),
    "kube-apiserver": (
        *("instance.go", "cacher.go", "storage_rbac.go", "available_controller.go", "apf_controller.go"),
        *(
            "storage_factory.go",
            "crd_finalizer.go",
            "apiservice_controller.go",
            "genericapiserver.go",
            "priority-and-fairness.go",
        ),
        *("crdregistration_controller.go", "customresource_discovery_controller.go", "storage_scheduling.go"),
    ),
    "kube-scheduler": (
        *(
            "schedule_one.go",
            "scheduling_queue.go",
            "default_preemption.go",
            "generic_scheduler.go",
            "default_binder.go",
        ),
        *("scheduler.go", "eventhandlers.go"),
    ),
    "kube-controller-manager": (
        *("replica_set.go", "garbagecollector.go", "graph_builder.go", "node_lifecycle_controller.go", "horizontal.go"),
        *("deployment_controller.go", "pv_controller.go", "endpoints_controller.go", "endpointslice_controller.go"),
        *(
            "controllermanager.go",
            "job_controller.go",
            "cronjob_controllerv2.go",
            "stateful_set.go",
            "daemon_controller.go",
        ),
        *("resource_quota_controller.go", "namespace_controller.go", "taint_eviction.go", "gc_controller.go"),
    ),
    "kube-proxy": (*("proxier.go", "server_linux.go", "server_others.go", "topologycache.go"),),
}
"""Source files, by base name, that one component logs from and no other (Kubernetes 1.20 to 1.36)."""

_VOTES = {file: component for component, files in _FILES.items() for file in files}


class Writers:
    """Names the writer of entries; what the content told once holds for the rest of the input."""

    def __init__(self, item: Item) -> None:
        self._name = item.file_name
        self._told: str | None = None

    def name(self, prefix: pl.Series, fields: pl.DataFrame) -> pl.Series:
        """The component per entry; null where neither prefix nor content nor file name tells."""
        named = prefix.replace(_ALIASES) if prefix.is_not_null().any() else prefix
        known = named.is_not_null() & named.str.contains(_KNOWN).fill_null(False)
        if known.all():
            return named
        self._told = self._told or self._vote(fields.filter(~known)["caller"]) or self._by_file_name()
        return pl.select(pl.when(known).then(named).otherwise(pl.lit(self._told, pl.String))).to_series()

    def _vote(self, callers: pl.Series) -> str | None:
        files = callers.str.splitn(":", 2).struct.field("field_0").value_counts()
        votes: dict[str, int] = {}
        for file, count in files.iter_rows():
            if (component := _VOTES.get(file)) is not None:
                votes[component] = votes.get(component, 0) + count
        return max(sorted(votes), key=lambda component: votes[component], default=None)

    def _by_file_name(self) -> str | None:
        return next((component for component in sorted(_FILES) if component in self._name), None)
