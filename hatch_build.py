"""Compiles the kernels when the package is built, for a wheel of this machine; without rustc the wheel is of any."""

from __future__ import annotations

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = runpy.run_path(str(Path(self.root) / "analyzer/kernels/build.py"))
        if build["compiled"]():
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
            build_data["artifacts"].append("analyzer/kernels/_kernels.so")
        else:
            self.app.display_warning("built without compiled kernels: there is no rustc, so reading takes longer")
