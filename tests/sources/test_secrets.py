"""What has the shape of a credential is masked wherever a record is quoted, and ordinary text is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.secrets import MASK, scrub

JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {JWT}", JWT),
        (f"got token {JWT} from the API", "eyJpc3MiOiJrdWJlcm5ldGVzIn0"),
        ('"SecretAccessKey" : "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"', "wJalrXUtnFEMI"),
        ('"AccessKeyId" : "AKIAIOSFODNN7EXAMPLE"', "AKIAIOSFODNN7EXAMPLE"),
        ("X-aws-ec2-metadata-token: AQAEAJexampletoken==", "AQAEAJexampletoken"),
        ("/api/v1/watch?token=0123456789abcdef&x=1", "0123456789abcdef"),
        ("Cookie: session=deadbeefdeadbeef", "deadbeefdeadbeef"),
        ("DB_PASSWORD=hunter2hunter2", "hunter2hunter2"),
        ('{"password":"hunter2hunter2"}', "hunter2hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END", "MIIEow"),
        ("kubeadm join --token abcdef.0123456789abcdef", "0123456789abcdef"),
        ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
    ],
)
def test_masks(text: str, secret: str) -> None:
    assert secret not in scrub(text)
    assert MASK in scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        '[INFO] 10.244.1.17:34047 - 3813 "A IN api.example.com. udp 56 false 512" NXDOMAIN qr,aa,rd 149 0.00025332s',
        '{"kind":"Event","level":"Metadata","auditID":"68459785-d7fb-4f15-a999-b972aa3086b9","verb":"watch"}',
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "GET /latest/meta-data/iam/security-credentials/example-node-role",
        'pod="payments/ledger-74d75456f5-x2x2x" containerID="0123456789abcdef"',
        "the secret of this is that it is short",
    ],
)
def test_leaves_evidence_alone(text: str) -> None:
    assert scrub(text) == text


@given(st.text())
def test_masking_again_changes_nothing(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)
