"""The shapes of Alertmanager's API v2. Source: prometheus/alertmanager, api/v2/openapi.yaml."""

from typing import Literal

from pydantic import BaseModel, Field

from api.silence_models import SilenceMatcher


class AlertmanagerReceiver(BaseModel):
    """A receiver's name."""

    name: str


class AlertmanagerAlertStatus(BaseModel):
    """Whether an alert is told, and what keeps it quiet."""

    state: Literal["active", "suppressed", "unprocessed"]
    silencedBy: list[str] = Field(description="Ids of silences, acknowledgements and maintenance windows.")
    inhibitedBy: list[str] = Field(description="Fingerprints of alerts.")


class AlertmanagerAlert(BaseModel):
    """An alert that fires."""

    annotations: dict[str, str]
    endsAt: str
    fingerprint: str
    receivers: list[AlertmanagerReceiver]
    startsAt: str
    status: AlertmanagerAlertStatus
    updatedAt: str
    generatorURL: str
    labels: dict[str, str]


class AlertmanagerGroup(BaseModel):
    """Alerts that a receiver is told together."""

    labels: dict[str, str]
    receiver: AlertmanagerReceiver
    alerts: list[AlertmanagerAlert]


class AlertmanagerSilenceStatus(BaseModel):
    """Whether it is in force."""

    state: Literal["pending", "active", "expired"]


class AlertmanagerSilence(BaseModel):
    """A silence; of an acknowledgement `matchers` names the alert's fingerprint and episode."""

    id: str
    status: AlertmanagerSilenceStatus
    updatedAt: str
    comment: str
    createdBy: str
    startsAt: str
    endsAt: str
    matchers: list[SilenceMatcher]


class PostedSilence(BaseModel):
    """A silence to be made, or with an id to be changed."""

    id: str | None = Field(default=None, max_length=200)
    comment: str
    createdBy: str
    startsAt: str
    endsAt: str
    matchers: list[SilenceMatcher] = Field(min_length=1)


class PostedSilenceAnswer(BaseModel):
    """The silence that there is now."""

    silenceID: str


class AlertmanagerCluster(BaseModel):
    """Alertmanager's cluster; ours needs none."""

    name: str
    status: Literal["ready"]
    peers: list[str]


class AlertmanagerVersion(BaseModel):
    """What runs."""

    version: str
    revision: str
    branch: str
    buildUser: str
    buildDate: str
    goVersion: str


class AlertmanagerConfig(BaseModel):
    """The configuration's text, without secrets."""

    original: str


class AlertmanagerStatus(BaseModel):
    """`/api/v2/status`."""

    cluster: AlertmanagerCluster
    versionInfo: AlertmanagerVersion
    config: AlertmanagerConfig
    uptime: str
