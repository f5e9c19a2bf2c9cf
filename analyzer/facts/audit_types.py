"""Names of the types of Linux audit records, for the numbers that the kernel prints.

Source: the kernel's include/uapi/linux/audit.h, and lib/audit-records.h of the audit project for those of user space.
The audit daemon writes names, and `UNKNOWN[1334]` for what its version does not know.
"""

from __future__ import annotations

import polars as pl

TYPES = {
    1006: "LOGIN",
    1100: "USER_AUTH",
    1101: "USER_ACCT",
    1103: "CRED_ACQ",
    1104: "CRED_DISP",
    1105: "USER_START",
    1106: "USER_END",
    1107: "USER_AVC",
    1110: "CRED_REFR",
    1112: "USER_LOGIN",
    1123: "USER_CMD",
    1130: "SERVICE_START",
    1131: "SERVICE_STOP",
    1200: "DAEMON_START",
    1201: "DAEMON_END",
    1300: "SYSCALL",
    1302: "PATH",
    1303: "IPC",
    1304: "SOCKETCALL",
    1305: "CONFIG_CHANGE",
    1306: "SOCKADDR",
    1307: "CWD",
    1309: "EXECVE",
    1320: "EOE",
    1321: "BPRM_FCAPS",
    1322: "CAPSET",
    1323: "MMAP",
    1325: "NETFILTER_CFG",
    1326: "SECCOMP",
    1327: "PROCTITLE",
    1328: "FEATURE_CHANGE",
    1334: "BPF",
    1335: "EVENT_LISTENER",
    1400: "AVC",
    1401: "SELINUX_ERR",
    1403: "MAC_POLICY_LOAD",
    1404: "MAC_STATUS",
    1700: "ANOM_PROMISCUOUS",
    1701: "ANOM_ABEND",
    2000: "KERNEL",
}

DENIALS = ("AVC", "SELINUX_ERR", "USER_AVC")
"""What a security module (SELinux, AppArmor) refuses or complains of: no rule of the audit system asks for it."""

SIDE = ("PATH", "CWD", "EXECVE", "SOCKADDR", "PROCTITLE", "EOE")
"""Records that only go with the SYSCALL of their event, and say nothing by themselves."""


def type_name(column: str) -> pl.Expr:
    """The name of a type that is written as a number, a name, `UNKNOWN[number]` or `AUDITnumber` (journald); an unknown
    number as it is."""
    text = pl.col(column).str.replace(r"^(?:UNKNOWN\[([0-9]+)\]|AUDIT([0-9]{4}))$", "${1}${2}")
    return text.replace({str(number): name for number, name in TYPES.items()})
