"""Which component wrote a klog: by the prefix of its lines, the name of its file, else by the source files that only it
has."""

from __future__ import annotations

import re

import polars as pl

from analyzer.sources.contract import Item, Ledger

_ALIASES = {
    "kubenswrapper": "kubelet",  # OpenShift
    "hyperkube": "kubelet",
    "hollow-kubelet": "kubelet",
    "dns-autoscaler": "cluster-proportional-autoscaler",
    "coredns-autoscaler": "cluster-proportional-autoscaler",
    "liveness-probe": "livenessprobe",
}
"""Other names under which components run."""

_NAMES = (
    *("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "kube-aggregator"),
    *("cloud-controller-manager", "cluster-autoscaler", "cluster-proportional-autoscaler", "metrics-server"),
    *("csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter", "snapshot-controller", "livenessprobe"),
    *("node-driver-registrar", "csi-external-health-monitor-controller", "kube-state-metrics", "konnectivity-agent"),
)
"""Programs that log with klog, by the names of their images (the kubernetes, kubernetes-csi and -sigs projects)."""

_KNOWN = (
    rf"^(?:{'|'.join(_NAMES)}|kube-[a-z-]+|k3s(?:-agent|-server)?|rke2(?:-agent|-server)?|microk8s\..*|kubelite|k0s.*)$"
)

_TOGETHER = r"^(?:k3s(?:-agent|-server)?|rke2(?:-agent|-server)?|microk8s\..*|kubelite|k0s.*)$"
"""Programs in which several components run; the source file tells which of them logged."""

_IN_NAME = re.compile(rf"(?<![a-z0-9])({'|'.join(sorted((*_NAMES, *_ALIASES), key=len, reverse=True))})(?![a-z0-9])")

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
    "cluster-autoscaler": (
        *("static_autoscaler.go", "clusterstate.go", "auto_scaling_groups.go", "filter_out_schedulable.go"),
        *("scale_up.go", "scale_down.go", "pre_filtering_processor.go", "eligibility.go", "actuator.go"),
    ),
    "cluster-proportional-autoscaler": ("autoscaler_server.go", "linear_controller.go", "ladder_controller.go"),
    "csi-provisioner": ("csi-provisioner.go",),
    "csi-attacher": ("csi_handler.go", "trivial_handler.go"),
    "csi-resizer": ("csi_resizer.go",),
    "snapshot-controller": ("snapshot_controller.go", "snapshot_controller_base.go"),
    "node-driver-registrar": ("node_register.go",),
}
"""Source files, by base name, that one component logs from and no other (Kubernetes 1.20 to 1.36)."""

_VOTES = {file: component for component, files in _FILES.items() for file in files}
_VOTING = rf"^(?:{'|'.join(re.escape(file) for file in sorted(_VOTES))}):"


_KLOG_NAME = re.compile(r"^([^.]+)\.(.+)\.[^.]+\.log\.(?:INFO|WARNING|ERROR|FATAL)\.[0-9]{8}-[0-9]{6}\.[0-9]+")
"""`program.host.user.log.SEVERITY.yyyymmdd-hhmmss.pid` (klog, klog_file.go, logName); such a host has no domain."""

_NOTES = 3


def host_in_name(file_name: str) -> str | None:
    """The host that klog writes into the names of its own files."""
    found = _KLOG_NAME.match(file_name)
    return found[2] if found else None


class Writers:
    """Names the writer of entries, with the reason as a note; what was told once holds for the rest of the input."""

    def __init__(self, item: Item, ledger: Ledger) -> None:
        self._item, self._ledger = item, ledger
        self._told = _in_name(item.file_name)
        self._noted: set[str] = set()
        self._by_content = self._told is None
        self._reason = "by the name of the file"

    def name(self, prefix: pl.Series, fields: pl.DataFrame) -> pl.Series:
        """The component per entry; null where neither prefix nor file name nor content tells."""
        prefixed = prefix.is_not_null().any()
        named = (
            prefix.str.replace(r"^[a-z]+-(cloud-controller-manager)$", "$1").replace(_ALIASES) if prefixed else prefix
        )
        if prefixed and (together := named.str.contains(_TOGETHER)).any():
            file = fields["caller"].str.extract(r"^([^:]+):", 1)
            inner = file.replace_strict(_VOTES, default=None, return_dtype=pl.String)
            named = pl.select(pl.coalesce(pl.when(together).then(inner), named)).to_series()
        known = named.is_not_null() & named.str.contains(_KNOWN).fill_null(False)
        if prefixed and known.any():
            for component in sorted(named.filter(known).unique().to_list()):
                self._note(component, "by the prefix of its lines")
        if known.all():
            return named
        if self._by_content:
            self._look(fields.filter(~known)["caller"])
        if self._told is None:
            return pl.select(pl.when(known).then(named)).to_series()
        self._note(self._told, self._reason)
        return pl.select(pl.when(known).then(named).otherwise(pl.lit(self._told, pl.String))).to_series()

    def _note(self, component: str, reason: str) -> None:
        if component not in self._noted and len(self._noted) < _NOTES:
            self._noted.add(component)
            self._ledger.note(f"written by {component}: {reason}")

    def _look(self, callers: pl.Series) -> None:
        """By the source files, else by the nearest folder whose name is that of a component."""
        lines = callers.value_counts()
        files: dict[str, int] = {}
        for caller, count in lines.filter(pl.col("caller").str.contains(_VOTING)).iter_rows():
            file = caller.partition(":")[0]
            files[file] = files.get(file, 0) + count
        votes: dict[str, int] = {}
        for file, count in files.items():
            votes[_VOTES[file]] = votes.get(_VOTES[file], 0) + count
        if votes:
            self._told = max(sorted(votes), key=lambda component: votes[component])
            best = max(sorted(f for f in files if _VOTES[f] == self._told), key=lambda file: files[file])
            self._reason, self._by_content = f"by source files that only it has, such as {best}", False
        elif self._told is None:
            folders = reversed(re.split(r"[/!]", self._item.id)[:-1])
            self._told = next((name for folder in folders if (name := _in_name(folder))), None)
            self._reason = "by the name of its folder"


def _in_name(name: str) -> str | None:
    found = _IN_NAME.search(name.lower())
    return _ALIASES.get(found[1], found[1]) if found else None
