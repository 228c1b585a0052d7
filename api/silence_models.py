"""The shapes of `/api/fleet/v1/silences`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SilenceKind = Literal["silence", "acknowledgement", "maintenance"]
SilenceState = Literal["pending", "active", "expired"]


class SilenceMatcher(BaseModel):
    """A label matcher in Alertmanager's shape."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=1000, examples=["instance"])
    value: str = Field(max_length=10_000, examples=["web-017"])
    isRegex: bool = False
    isEqual: bool = True


class SilencedAlert(BaseModel):
    """The alert that is acknowledged: one episode at one severity."""

    model_config = ConfigDict(extra="forbid")

    fingerprint: str = Field(min_length=1, max_length=100)
    episode: str = Field(default="", max_length=100, description="Empty: the one that fires now, as it fires now.")
    severity: str = Field(default="", max_length=1000)


class SilenceInfo(BaseModel):
    """What keeps alerts quiet."""

    id: str
    kind: SilenceKind
    state: SilenceState
    matchers: list[SilenceMatcher]
    startsAt: str
    endsAt: str
    createdBy: str
    comment: str
    updatedAt: str
    alert: SilencedAlert | None = Field(description="Of an acknowledgement.")


class SilenceList(BaseModel):
    """Silences, acknowledgements and maintenance windows, the ones that end last first."""

    silences: list[SilenceInfo]
    now: str


class SilenceChange(BaseModel):
    """What is to be made, or what becomes of it."""

    model_config = ConfigDict(extra="forbid")

    kind: SilenceKind = "silence"
    matchers: list[SilenceMatcher] = Field(default=[], max_length=100)
    alert: SilencedAlert | None = Field(default=None, description="Instead of matchers, for an acknowledgement.")
    startsAt: str | None = Field(default=None, description="RFC 3339 or Unix seconds; absent: now.")
    endsAt: str | None = Field(default=None, description="RFC 3339 or Unix seconds.")
    duration: str | None = Field(default=None, description="Instead of endsAt, e.g. 2h30m.", examples=["2h"])
    createdBy: str = Field(min_length=1, max_length=200, description="Who does it.")
    comment: str = Field(min_length=1, max_length=10_000, description="Why.")


class SilencePast(BaseModel):
    """One change, and what it made."""

    at: str
    by: str
    action: Literal["created", "changed", "expired"]
    silence: SilenceInfo


class SilenceHistory(BaseModel):
    """Every change, the newest first."""

    changes: list[SilencePast]
