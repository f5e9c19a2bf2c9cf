"""Credentials are fetched from the metadata service again and again.

## What it finds
Clients that refresh their cloud credentials far more often than the credentials' life needs. Two rules, each per
client and program (User-Agent). Certain: the credential that the metadata service hands out has less life left than
the SDK's refresh window, and the same program refreshes again within that life: the SDK then refreshes on every call.
By rate: more than one refresh a minute for three minutes, where the life is unknown or one connection carried several
refreshes. The variant `metadataproxy` comes back in the last minutes of each credential's life: a proxy goes on to hand
out what the SDK wants to replace. Severity is high from 60 times the needed refreshes on, medium from 10 times on, else
low. Confidence is high by the certain rule with a known SDK and one process, else medium.

## Why it matters
kiam and kube2iam hand out credentials for 15 minutes, and SDKs begin to refresh 15 minutes before the end: each call
then waits for two or three requests to the metadata service, perhaps longer than the call itself takes.

## What does not count
Command line tools and short-lived processes, each of which must refresh once: class `short-lived-clients`, a remark.
Many programs behind one address: they are told apart by their User-Agent, and where refreshes run at once there are
several processes, each of which may refresh as often. Health checks of `/latest/meta-data/` that
ask for no credential. Refused or failed refreshes. An SDK that extends the life of a short credential by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analyzer.detector import Detector, Remark, setting, thresholds
from analyzer.detectors.credentials.imds_credential_storm.evidence import evidence, impact
from analyzer.detectors.credentials.imds_credential_storm.lives import Lives, bursts
from analyzer.detectors.credentials.imds_credential_storm.remedy import EARLIER, GENERAL, savings, verify, why
from analyzer.detectors.credentials.imds_credential_storm.rules import Windows, judge, short_lived
from analyzer.detectors.credentials.imds_credential_storm.storm import Storm, by_client
from analyzer.facts.application import APPLICATION_REQUESTS
from analyzer.facts.contract import Frames
from analyzer.facts.metadata import CREDENTIAL_REFRESHES
from analyzer.model import Confidence, Finding, Severity

DEFAULT = "engineering default"


@thresholds
class Settings:
    min_refreshes: int = setting(
        2, "Refreshes by one program within a credential's life.", minimum=2, source="deterministic rule of the pattern"
    )
    botocore_window_seconds: float = setting(
        900,
        "Botocore refreshes below this life.",
        unit="seconds",
        minimum=0,
        source="botocore, advisory refresh 15 min",
    )
    java_v1_window_seconds: float = setting(
        900,
        "AWS SDK for Java 1 refreshes below this life.",
        unit="seconds",
        minimum=0,
        source="aws-sdk-java BaseCredentialsFetcher, EXPIRATION_THRESHOLD",
    )
    google_window_seconds: float = setting(
        225, "Google's libraries refresh below this life.", unit="seconds", minimum=0, source="golang.org/x/oauth2, GCE"
    )
    other_window_seconds: float = setting(
        300, "Other SDKs refresh below this life.", unit="seconds", minimum=0, source="AWS SDKs for Java 2, Go and Ruby"
    )
    rate_per_minute: float = setting(
        1, "Refreshes a minute above which a minute counts.", unit="refreshes", minimum=0, source=DEFAULT
    )
    rate_minutes: int = setting(3, "Such minutes on end.", unit="minutes", minimum=1, source=DEFAULT)
    session_seconds: float = setting(
        3600, "Life of a credential in the modelled fix.", unit="seconds", minimum=1, source="kiam, kube2iam"
    )
    high_ratio: float = setting(
        60, "Refreshes per needed one from which the severity is high.", minimum=1, source=DEFAULT
    )
    medium_ratio: float = setting(10, "The same for medium.", minimum=1, source=DEFAULT)


def detect(frames: Frames, settings: Settings) -> Iterator[Finding | Remark]:
    windows = Windows(
        botocore=settings.botocore_window_seconds,
        java_v1=settings.java_v1_window_seconds,
        google=settings.google_window_seconds,
        other=settings.other_window_seconds,
    )
    refreshes = frames[CREDENTIAL_REFRESHES].collect()
    if not refreshes.height:
        return
    programs = judge(refreshes.lazy(), windows, settings.min_refreshes, settings.rate_per_minute, settings.rate_minutes)
    asked = by_client(frames[APPLICATION_REQUESTS].collect()) if APPLICATION_REQUESTS in frames else {}
    bad = programs.filter((pl.col("certain") | pl.col("by_rate")).fill_null(False))
    for client, mine in by_client(bad).items():
        storm = Storm.of(client, mine, asked.get(client), settings.session_seconds)
        yield _finding(storm, bursts(mine, settings.min_refreshes), settings)
    yield from short_lived(programs)


def _finding(storm: Storm, lives: Lives | None, settings: Settings) -> Finding:
    needed = f"{storm.needed:,} refresh{'es' if storm.needed != 1 else ''}"
    main, *others = savings(storm, settings.session_seconds)
    return Finding(
        detector="imds-credential-storm",
        subject=storm.client,
        summary=(
            f"{storm.refreshes:,} refreshes in {storm.requests:,} metadata requests by {storm.client} took "
            f"{storm.seconds:.1f} s for {storm.application:,} application requests, where {needed} would do."
        ),
        severity=_severity(storm.refreshes / storm.needed, settings),
        confidence=Confidence.HIGH if storm.certain and storm.known_sdk and storm.processes == 1 else Confidence.MEDIUM,
        confidence_reason=storm.reason,
        start=storm.start,
        end=storm.end,
        impact=impact(storm, lives),
        evidence=evidence(storm),
        saving=main,
        alternatives=tuple(others),
        variant="metadataproxy" if lives else "",
        why=why(storm, lives),
        refuted_by="Separate processes behind this address, each of which refreshed once.",
        remedies=(EARLIER, *GENERAL) if lives else GENERAL,
        verify=verify(storm),
        stories=(25,),
    )


def _severity(ratio: float, settings: Settings) -> Severity:
    if ratio >= settings.high_ratio:
        return Severity.HIGH
    return Severity.MEDIUM if ratio >= settings.medium_ratio else Severity.LOW


DETECTOR = Detector(
    id="imds-credential-storm",
    title="Credentials are fetched again and again",
    needs_any=((CREDENTIAL_REFRESHES,),),
    uses=(APPLICATION_REQUESTS,),
    settings=Settings(),
    detect=detect,
    remedies=GENERAL,
    stories=(25,),
)
