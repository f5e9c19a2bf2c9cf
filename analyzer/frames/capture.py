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
    "One row per frame that held IPv4 or IPv6; of tunnelled frames it tells the innermost packet.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        Col("protocol", pl.String(), "TCP, UDP, ICMP, ICMPv6, SCTP, GRE, ESP or the IP protocol number as text."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        Col("payload_bytes", pl.Int64(), "Length of the transport payload by the IP header; null if unknown."),
        Col("tls_record", pl.Int16(), "TLS content type that the TCP payload begins with (22, 23 ...); null if none."),
        Col("tcp_flags", pl.Int16(), "TCP flag byte; null for other protocols."),
        Col("seq", pl.Int64(), "TCP sequence number; null for other protocols."),
        Col("ack", pl.Int64(), "TCP acknowledgement number; null for other protocols."),
        Col("window", pl.Int32(), "TCP window as the header states it, not scaled; null for other protocols."),
        Col("ttl", pl.Int16(), "TTL or hop limit."),
        Col("ip_id", pl.Int32(), "IPv4 identification; null for IPv6."),
        _DUPLICATE,
    ),
    group="connection",
    kinds=("pcap",),
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
    group="asker",
    kinds=("pcap",),
)

DNS_ANSWERS = Table(
    "dns_answers",
    "One row per record in the answer section of a DNS answer in a capture; at most 64 of one message.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that was answered, canonical text."),
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
    group="client",
    kinds=("pcap",),
)

HTTP_MESSAGES = Table(
    "http_messages",
    "One row per plaintext HTTP/1 request or answer, at whatever port. Bodies are never kept.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        Col("response", pl.Boolean(), "True for an answer, false for a request."),
        Col("method", pl.String(), "Request method; null in an answer."),
        Col("path", pl.String(), "Request path, its query cut to api-version and resource; null in an answer."),
        Col("status", pl.Int32(), "Answer status; null in a request."),
        Col("user_agent", pl.String(), "User-Agent of a request; null in an answer or if absent."),
        Col("host", pl.String(), "Host field of a request, its port included; null in an answer or if absent."),
        Col(
            "metadata",
            pl.Boolean(),
            "True on a connection to an instance metadata address, or to a proxy that stands in for it.",
        ),
        Col("expires_at", TIME, "When the credential in a metadata answer expires; null if it holds none."),
        Col("token_ttl_seconds", pl.Int64(), "Metadata token life asked for or granted; null if absent."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        _DUPLICATE,
    ),
    group="asker",
    kinds=("pcap",),
)

TLS_CLIENT_HELLOS = Table(
    "tls_client_hellos",
    "One row per TLS ClientHello over TCP, at whatever port: what a client says before anything is encrypted.",
    (
        *PLACE,
        Col("client", pl.String(), "Address that sent the hello."),
        Col("client_port", pl.Int32(), "Port that sent the hello."),
        Col("server", pl.String(), "Address the hello was sent to."),
        Col("server_port", pl.Int32(), "Port the hello was sent to."),
        _INTERFACE,
        Col(
            "sni",
            pl.String(),
            "Server name (RFC 6066), lower case, no final dot; of an encrypted one the outer; null if absent.",
        ),
        Col("alpn", pl.String(), "Application protocols offered (RFC 7301), joined by commas; null if absent."),
        Col("version", pl.String(), "Highest version offered as text (TLS 1.3); null if nobody knows it."),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        _DUPLICATE,
    ),
    group="client",
    kinds=("pcap",),
)

MINING_MESSAGES = Table(
    "mining_messages",
    "One row per message between a cryptocurrency miner and its pool over plain TCP, known by its content: Stratum, "
    "its Ethereum forms and the dialect of XMRig. Of answers only those that are a pool's by themselves.",
    (
        *PLACE,
        *_ENDS,
        _INTERFACE,
        Col("response", pl.Boolean(), "True for an answer; a job or notification that a pool sends unasked is none."),
        Col("method", pl.String(), "Method (mining.subscribe, login, job); in an answer the method it answers."),
        Col("agent", pl.String(), "Program that a miner names in its login or subscription; null in others."),
        Col("algorithm", pl.String(), "Algorithm of a job (rx/0), or those a miner offers; null if not given."),
        Col(
            "account",
            pl.String(),
            "Wallet or account of a login, authorization or share: its first 6 and last 4 characters, of one up to 20 "
            "characters the first 2; null in others.",
        ),
        Col("wire_bytes", pl.Int64(), "Length of the frame on the wire."),
        _DUPLICATE,
    ),
    group="connection",
    kinds=("pcap",),
)

TUNNEL_HEADERS = Table(
    "tunnel_headers",
    "One row per tunnel that was opened around a packet: the addresses of the outer packet, which are mostly nodes'.",
    (
        *PLACE,
        Col("depth", pl.Int16(), "1 is the outermost tunnel of the frame."),
        Col("kind", pl.String(), "vxlan, geneve, gre, erspan, ipip, 4in6, 6in4 or 6in6 (the inner IP version first)."),
        *_ENDS,
        Col("network_id", pl.Int64(), "VXLAN or Geneve network, GRE key, ERSPAN session; null if it has none."),
    ),
    kinds=("pcap",),
)

ICMP_ERRORS = Table(
    "icmp_errors",
    "One row per ICMP or ICMPv6 error in a capture, with the packet that it is about.",
    (
        *PLACE,
        Col("src", pl.String(), "Host or router that sent the error, canonical text."),
        Col("dst", pl.String(), "Receiver of the error, who mostly sent the packet that it is about."),
        _INTERFACE,
        Col("icmp_type", pl.Int16(), "ICMP or ICMPv6 type."),
        Col("icmp_code", pl.Int16(), "ICMP or ICMPv6 code."),
        Col("error", pl.String(), "Meaning of type and code (port unreachable, fragmentation needed ...)."),
        Col("mtu", pl.Int64(), "Bytes the next link takes (fragmentation needed, packet too big); null if not told."),
        Col("quoted_protocol", pl.String(), "Protocol of the quoted packet, as in packets; null if it is unreadable."),
        Col("quoted_src", pl.String(), "Sender of the quoted packet."),
        Col("quoted_src_port", pl.Int32(), "Its port; null where the protocol has none or the quote is too short."),
        Col("quoted_dst", pl.String(), "Receiver of the quoted packet."),
        Col("quoted_dst_port", pl.Int32(), "Its port; null where the protocol has none or the quote is too short."),
        Col("quoted_seq", pl.Int64(), "TCP sequence number of the quoted packet; null for other protocols."),
        _DUPLICATE,
    ),
    kinds=("pcap",),
)
