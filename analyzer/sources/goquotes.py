"""How Go quotes a text, as klog does with values; by itself, because facts read values too."""

GO_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n", "\\t": "\t", "\\r": "\r"}
"""What strconv.Quote commonly writes; control signs and what no terminal shows stay as `\\x1b` and `\\u200b`."""
