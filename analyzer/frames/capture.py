"""Tables read from packet captures."""

from __future__ import annotations

import polars as pl

from analyzer.frames.contract import PLACE, TIME, Col, Table

_ENDS = (
    Col("src", pl.String(), "Sender's address, canonical text."),
    Col("src_port", pl.Int32(), "Sender's port; null where the protocol has none."),
    Col("dst", pl.String(), "Receiver's address, canonical text."),
    Col("dst_port", pl.Int32(), "Receiver's port; null where the protocol has none."),
)
_INTERFACE = Col(
    "interface", pl.Int32(), "Interface the frame was captured on (pcapng id or cooked ifindex); null if unknown."
)
_DUPLICATE = Col(
    "duplicate",
    pl.Boolean(),
    "True where the same packet was already seen at another interface or a moment before; count such rows out.",
)

PACKETS = Table(
    "packets",
    "One row per frame that held IPv4 or IPv6.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        Col("protocol", pl.String(), "TCP, UDP, ICMP, ICMPv6, SCTP or the IP protocol number as text."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        Col("payload_bytes", pl.Int64(), "Length of the transport payload by the IP header; null if unknown."),
        Col("tls_record", pl.Int16(), "TLS content type that the TCP payload begins with (22, 23 ...); null if none."),
        Col("tcp_flags", pl.Int16(), "TCP flag byte; null for other protocols."),
        Col("seq", pl.Int64(), "TCP sequence number; null for other protocols."),
        Col("ack", pl.Int64(), "TCP acknowledgement number; null for other protocols."),
        Col("ttl", pl.Int16(), "TTL or hop limit."),
        Col("ip_id", pl.Int32(), "IPv4 identification; null for IPv6."),
        _DUPLICATE,
    ),
)

_DNS_PROTOCOL = Col(
    "protocol", pl.String(), "dns, mdns (multicast DNS) or llmnr; only dns tells of the resolution of cluster names."
)
_DNS_DUPLICATE = Col(
    "duplicate",
    pl.Boolean(),
    "True where the same packet was already seen at another interface or a moment before, or TCP sent it again; "
    "count such rows out.",
)

DNS_MESSAGES = Table(
    "dns_messages",
    "One row per DNS query or answer in a capture.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        _DNS_PROTOCOL,
        Col("transport", pl.String(), "udp or tcp."),
        Col("dns_id", pl.Int32(), "Transaction id."),
        Col("response", pl.Boolean(), "True for an answer, false for a query."),
        Col("rcode", pl.String(), "Answer code as text (NOERROR, NXDOMAIN); null in a query."),
        Col("name", pl.String(), "Question name, lower case, no final dot, RFC 1035 escapes; '' is the root."),
        Col("qtype", pl.String(), "Question type as text (A, AAAA, TYPE65280)."),
        Col("answers", pl.Int32(), "Records in the answer section by the header; null in a query."),
        Col("truncated", pl.Boolean(), "TC bit."),
        Col("authoritative", pl.Boolean(), "AA bit."),
        Col("negative_ttl", pl.Int64(), "Seconds a negative answer may be cached (RFC 2308); null if not given."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        _DNS_DUPLICATE,
    ),
)

DNS_ANSWERS = Table(
    "dns_answers",
    "One row per record in the answer section of a DNS answer in a capture; at most 64 of one message.",
    (
        *PLACE,
        _DNS_PROTOCOL,
        Col("dns_id", pl.Int32(), "Transaction id of the message."),
        Col("position", pl.Int32(), "Place in the answer section, from 1."),
        Col("name", pl.String(), "Owner of the record, spelled as question names are."),
        Col("rtype", pl.String(), "Record type as text (A, CNAME, TYPE65280)."),
        Col("ttl", pl.Int64(), "Seconds the record may be cached, as it stands in the message."),
        Col(
            "value",
            pl.String(),
            "Address of A and AAAA; target of CNAME, DNAME, NS, PTR, SRV; exchange of MX; null for other types.",
        ),
        _DNS_DUPLICATE,
    ),
)

HTTP_MESSAGES = Table(
    "http_messages",
    "One row per HTTP/1 request or answer on a connection to an instance metadata address. Bodies are never kept.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        Col("response", pl.Boolean(), "True for an answer, false for a request."),
        Col("method", pl.String(), "Request method; null in an answer."),
        Col("path", pl.String(), "Request path, its query cut to api-version and resource; null in an answer."),
        Col("status", pl.Int32(), "Answer status; null in a request."),
        Col("user_agent", pl.String(), "User-Agent of a request; null in an answer or if absent."),
        Col("expires_at", TIME, "When the credential in an answer expires; null if the answer holds none."),
        Col("token_ttl_seconds", pl.Int64(), "Metadata token life asked for or granted; null if absent."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        _DUPLICATE,
    ),
)

TCP_CONNECTIONS = Table(
    "tcp_connections",
    "One row per TCP connection attempt seen in a capture: the first SYN of a client socket.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that sent the SYN."),
        Col("client_port", pl.Int32(), "Port that sent the SYN."),
        Col("server", pl.String(), "Address the SYN was sent to."),
        Col("server_port", pl.Int32(), "Port the SYN was sent to."),
        Col("syns", pl.Int32(), "SYN packets of this attempt, copies at other interfaces not counted."),
        Col("answered", pl.Boolean(), "True where a SYN-ACK came back."),
        Col("handshake_seconds", pl.Float64(), "First SYN to SYN-ACK; null if unanswered."),
    ),
)
