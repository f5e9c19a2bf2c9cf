"""What has the shape of a credential is masked wherever a record is quoted, and ordinary text is left alone."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.sources.secrets import _HINT, MASK, scrub, scrub_all, scrub_column, without_command_lines

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
        ("x-eyJmb28.eyJ-" + JWT, "eyJpc3MiOiJrdWJlcm5ldGVzIn0"),
        ("Cookie: session=deadbeefdeadbeef", "deadbeefdeadbeef"),
        ("DB_PASSWORD=hunter2hunter2", "hunter2hunter2"),
        ('{"password":"hunter2hunter2"}', "hunter2hunter2"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END", "MIIEow"),
        ("kubeadm join --token abcdef.0123456789abcdef", "0123456789abcdef"),
        ("Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA"),
        ("X-Api-Key: 0a1b2c3d4e5f6071", "0a1b2c3d4e5f6071"),
        ("Get https://user:hunter2hunter2@registry.example.com/v2/", "hunter2hunter2"),
        ('Failed to pull image "user:hunter2@registry.example.com:5000/a/b:1"', "hunter2"),
        ('Get "https://layers.s3.amazonaws.com/a?X-Amz-Date=1&X-Amz-Signature=0a1b2c3d4e": i/o timeout', "0a1b2c3d4e"),
        ('audit: type=1309 audit(1.000:7): argc=3 a0="mysql" a1="-u" a2="-phunter2"', "hunter2"),
        ("EXECVE argc=2 a0=6D7973716C a1=2D7068756E74657232", "2D7068756E74657232"),
        ("EXECVE a1_len=9000 a1[0]=68756E74657232", "68756E74657232"),
        ("audit[7]: PROCTITLE proctitle=6D7973716C002D7068756E74657232", "2D7068756E74657232"),
        ('type=PROCTITLE msg=audit(1.000:7): proctitle="mysql -phunter2"', "hunter2"),
        ("msg='cwd=\"/root\" cmd=6D7973716C202D7068756E74657232 terminal=pts/0 res=success'", "68756E74657232"),
        (r"https://x.blob.core.windows.net/a?se=2026\u0026sig=AbCdEf%2Bgh%3D", "AbCdEf"),
    ],
)
def test_masks(text: str, secret: str) -> None:
    assert secret not in scrub(text)
    assert MASK in scrub(text)


def test_a_column_is_masked_as_its_texts_are() -> None:
    texts = ["nothing", None, f"Authorization: Bearer {JWT}", "x-api-key=0a1b2c3d4e5f6071"]
    cleaned = scrub_column(pl.Series(texts, dtype=pl.String)).to_list()
    assert cleaned == [scrub(text) if text else text for text in texts]
    assert MASK in cleaned[2]


@given(st.lists(st.from_regex(r"(?i)(pass|token|cookie|x)[:= ]{1,2}[a-z0-9./@]{0,30}")))
def test_no_text_that_would_be_masked_is_passed_over_in_a_column(texts: list[str]) -> None:
    assert scrub_column(pl.Series(texts, dtype=pl.String)).to_list() == [scrub(text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        '[INFO] 10.244.1.17:34047 - 3813 "A IN api.example.com. udp 56 false 512" NXDOMAIN qr,aa,rd 149 0.00025332s',
        '{"kind":"Event","level":"Metadata","auditID":"68459785-d7fb-4f15-a999-b972aa3086b9","verb":"watch"}',
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "GET /latest/meta-data/iam/security-credentials/example-node-role",
        'pod="payments/ledger-74d75456f5-x2x2x" containerID="0123456789abcdef"',
        "the secret of this is that it is short",
        'Pulling image "quay.io/x/y:v1.2.3@sha256:0a1b2c3d/x"',
        "mail of ops:all@example to someone; /v1/config?signal=SIGTERM",
    ],
)
def test_leaves_evidence_alone(text: str) -> None:
    assert scrub(text) == text


@given(st.text())
def test_masking_again_changes_nothing(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


def test_a_value_in_a_list_is_masked() -> None:
    assert scrub('"example.com/token": ["CkhpRWCH7jU3"]') == '"example.com/token": ["[masked]"]'


def test_the_work_is_linear_in_the_text() -> None:
    """Each of half a megabyte of beginnings of a token was once followed to the end: minutes."""
    assert scrub("eyJ-" * (1 << 17)) == "eyJ-" * (1 << 17)


def test_command_lines_of_audit_records_are_masked_by_column_and_need_no_more_then() -> None:
    texts = pl.Series(
        [
            'audit: type=1309 audit(1.000:7): argc=3 a0="mysql" a1="-u" a2="-phunter2"',
            "PROCTITLE proctitle=6D7973716C",
            "SYSCALL a0=7ffd a1=241 a2=1b6 a3=0 items=1 pid=7",
            "EXECVE a1_len=9000 a1[0]=68756E a1[1]=746572",
        ]
    )
    masked = without_command_lines(texts)
    assert masked.to_list() == [scrub(text) for text in texts.to_list()]
    assert masked[2] == texts[2], "numbers of a system call are no command line"
    assert not masked.str.contains(_HINT).any(), "so that no line is handled by itself"


def test_many_texts_are_masked_as_each_is() -> None:
    texts = ["token=abcdefghij and more\nof it", "", "plain", "line\nAuthorization: Bearer abcdefghijkl", "é" * 9]
    assert scrub_all(texts) == [scrub(text) for text in texts]
    assert scrub_all([]) == []
