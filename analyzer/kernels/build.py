"""Compiles the kernels with rustc, which needs nothing else: no crate, no Cargo. `python analyzer/kernels/build.py`.

The package works without them, only slower, so a machine without rustc is told and goes on. Stands by itself: the build
of the package runs it before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "src"
LIBRARY = HERE / "_kernels.so"


def digest() -> str:
    """SHA-256 of the sources, which the compiled library carries."""
    total = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.rs")):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def compiler() -> str | None:
    """rustc, where there is one."""
    return shutil.which(os.environ.get("RUSTC") or "rustc")


def compiled() -> bool:
    """Compile to LIBRARY; False where there is no compiler or it fails, and then there is no library either."""
    rustc = compiler()
    if rustc is None:
        LIBRARY.unlink(missing_ok=True)
        return False
    made = LIBRARY.with_suffix(".new")
    flags = ["--crate-type=cdylib", "--crate-name=kernels", "--edition=2021", "-Copt-level=3", "-Cstrip=symbols"]
    done = subprocess.run(
        [rustc, *flags, "-Ccodegen-units=1", "-o", str(made), str(SOURCES / "lib.rs")],
        env=os.environ | {"KERNELS_SOURCES": digest()},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        LIBRARY.unlink(missing_ok=True)
        return False
    made.replace(LIBRARY)  # whoever has the old one open keeps it
    return True


if __name__ == "__main__":
    if not compiled():
        sys.exit("The kernels were not compiled; install rustc. Without them the tool reads more slowly.")
