"""Link types: the numbers in capture files, and Wireshark's own numbers of the same (wiretap/wtap.h)."""

from __future__ import annotations

# fmt: off
SAME_LINK = {
    0: 15, 1: 1, 8: 3, 9: 4, 12: 7, 50: 4, 100: 10, 101: 7, 104: 28, 105: 20, 106: 11, 107: 26, 113: 25, 123: 13,
    127: 23, 129: 9, 137: 67, 140: 42, 149: 47, 178: 83, 195: 104, 226: 124, 228: 129, 229: 130, 230: 127, 231: 146,
    239: 141, 258: 171, 271: 185, 276: 210,
}
# fmt: on
