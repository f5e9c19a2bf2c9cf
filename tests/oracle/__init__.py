"""Compares what this tool makes of captures with what Wireshark's command line tools make of them."""
