"""What stands below the options of `--help`: examples that can be typed as they are, files, and where to read on."""

from __future__ import annotations

_POSTMORTEM = """\
Examples:

\b
  analyze postmortem /evidence
      everything below /evidence; writes report.html here
  analyze postmortem node3.pcap.gz audit.log* coredns.log -o outage.html -o outage.json
      these files only; one result in two forms
  analyze postmortem must-gather.tar.gz --from 2026-03-14T09:00:00Z --to 2026-03-14T10:00:00Z
      an archive, read where it lies; one hour of it
  analyze postmortem /evidence -f md --redact --map names.json > postmortem.md
      Markdown for others, without names; names.json undoes it
  analyze postmortem tuesday/ --baseline monday.json --fail-on high
      what is new, worse, better or gone; exit 1 if a finding is high or critical
  analyze postmortem /evidence --evidence-dir report.evidence
      beside the page, for each finding F1.pcapng, F1.coredns.log ...: its packets and lines, without credentials
  journalctl -u kubelet -o short-precise | analyze postmortem - --as kubelet --year 2026

\b
Files:
  ./analyze.toml   settings, read where it is there; a table a detector (docs/analyze.toml has all)

\b
See also: analyze identify INPUT..., analyze detectors [ID], analyze render RESULT.json
"""

_PCAP = """\
Examples:

\b
  analyze pcap node3.pcap
  tcpdump -r big.pcap -w - port 53 | analyze pcap -
  analyze pcap captures/*.pcapng.zst --only dns-client-timeout -o dns.html
"""

_COREDNS = """\
Examples:

\b
  kubectl logs -n kube-system -l k8s-app=kube-dns --timestamps --prefix | analyze coredns-logs -
  analyze coredns-logs coredns.log --set dns-search-chain.min_chains=5
  analyze coredns-logs own.log --coredns-format '{remote} {type} {name} {rcode} {duration}'

\b
Lines of CoreDNS since 1.6.3 carry no time: take --timestamps, or the files below /var/log/containers.
"""

_AUDIT = """\
Examples:

\b
  analyze apiserver-logs /var/log/kubernetes/audit/
  analyze apiserver-logs audit.log --only apiserver-throttle-storm -f json | jq '.runs[].findings'
  aws logs filter-log-events --log-group-name /aws/eks/prod/cluster > eks.json; analyze apiserver-logs eks.json
"""

_KUBELET = """\
Examples:

\b
  journalctl -u kubelet -o short-precise > kubelet.log; analyze kubelet-logs kubelet.log
  analyze kubelet-logs node*/kubelet.log --year 2026 --tz Europe/Berlin

\b
klog has no year and no zone: they are taken from the journal, the file's name, --year and --tz, the dated inputs, the
file's time, in that order, and the report says which.
"""

_IDENTIFY = """\
Examples:

\b
  analyze identify /evidence
      kind, confidence, name and reason of each input; `unknown` ones are not read
"""

_QUOTE = """\
Examples:

\b
  analyze quote audit.json 17 18
  analyze quote 'bundle.tar.gz!node3/kubelet.log' 4021
"""

_INGEST = """\
Examples:

\b
  analyze ingest /evidence --case outage.case
  analyze postmortem outage.case --set dns-query-flood.min_queries=1000
      judges again without reading the evidence again
  analyze ingest s3-copy/ --case outage.case --scheduler tcp://10.0.0.5:8786
"""

_DETECTORS = """\
Examples:

\b
  analyze detectors
  analyze detectors dns-search-chain
      what it finds, what does not count, its settings with the source of each default, what to do
"""

_RENDER = """\
Examples:

\b
  analyze render outage.json -o outage.html
  analyze render outage.json -f sarif > outage.sarif
"""

_UNREDACT = """\
Examples:

\b
  analyze unredact report.html --map report.html.names.json -o whole.html
"""

_COMPLETION = """\
Examples:

\b
  source <(analyze completion bash)
  analyze completion zsh > ~/.zfunc/_analyze
  analyze completion fish > ~/.config/fish/completions/analyze.fish
"""

EXAMPLES = {
    "postmortem": _POSTMORTEM,
    "pcap": _PCAP,
    "coredns-logs": _COREDNS,
    "apiserver-logs": _AUDIT,
    "kubelet-logs": _KUBELET,
    "identify": _IDENTIFY,
    "quote": _QUOTE,
    "ingest": _INGEST,
    "detectors": _DETECTORS,
    "render": _RENDER,
    "unredact": _UNREDACT,
    "completion": _COMPLETION,
}
"""By command. `\\b` keeps the lines of a paragraph as they are."""
