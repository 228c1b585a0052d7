"""The `receivers` of the configuration, and the mail settings of `global`, read field by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from fleetpulse.notify.config import Apprise, Channel, Email, Forward, HttpOptions, Integration, Receiver, Webhook
from fleetpulse.notify.fields import boolean, secret
from fleetpulse.notify.http_fields import read_http, read_tls
from fleetpulse.rules.fields import Complaints, Fields, line_of

# Alertmanager's other kinds, and what says the same with apprise.
UNSUPPORTED_KINDS: Mapping[str, str] = {
    "discord_configs": "discord://",
    "incidentio_configs": "json://",
    "jira_configs": "jira://",
    "mattermost_configs": "mmost://",
    "msteams_configs": "workflows://",
    "msteamsv2_configs": "workflows://",
    "opsgenie_configs": "opsgenie://",
    "pagerduty_configs": "pagerduty://",
    "pushover_configs": "pover://",
    "rocketchat_configs": "rocket://",
    "slack_configs": "slack://",
    "sns_configs": "sns://",
    "telegram_configs": "tgram://",
    "victorops_configs": "splunk://",
    "webex_configs": "wxteams://",
    "wechat_configs": "wecombot://",
}
GLOBAL_MAIL = (
    "smtp_from",
    "smtp_smarthost",
    "smtp_hello",
    "smtp_auth_username",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_require_tls",
)
GLOBAL_WITHOUT_EFFECT = (
    "resolve_timeout",
    "slack_api_url",
    "slack_api_url_file",
    "pagerduty_url",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "opsgenie_api_url",
    "victorops_api_key",
    "victorops_api_key_file",
    "victorops_api_url",
    "telegram_api_url",
    "webex_api_url",
    "wechat_api_url",
    "wechat_api_secret",
    "wechat_api_corp_id",
    "rocketchat_api_url",
    "jira_api_url",
)
GLOBAL_UNSUPPORTED = ("http_config", "smtp_auth_secret", "smtp_auth_identity", "smtp_tls_config")
WEBHOOK = (
    "url",
    "url_file",
    "send_resolved",
    "max_alerts",
    "timeout",
    "http_config",
    "hmac_secret",
    "hmac_secret_file",
)
EMAIL = (
    "to",
    "from",
    "smarthost",
    "hello",
    "auth_username",
    "auth_password",
    "auth_password_file",
    "require_tls",
    "tls_config",
    "headers",
    "send_resolved",
)
EMAIL_UNSUPPORTED = ("html", "text", "auth_secret", "auth_identity")
FORWARD = ("url", "url_file", "timeout", "http_config")
APPRISE = ("url", "url_file", "send_resolved")


@dataclass(frozen=True, slots=True)
class Mail:
    """What `global` says about mail."""

    sender: str = ""
    smarthost: str = ""
    hello: str = "localhost"
    username: str = ""
    password: str = field(default="", repr=False)
    require_tls: bool = True


def read_mail_defaults(node: yaml.Node, folder: Path, complaints: Complaints, notes: Complaints) -> Mail:
    """The mail settings of `global`; what else stands there is complained about, or noted."""
    fields = Fields(node, "global", (*GLOBAL_MAIL, *GLOBAL_WITHOUT_EFFECT, *GLOBAL_UNSUPPORTED), complaints)
    for name in GLOBAL_WITHOUT_EFFECT:
        if name in fields:
            notes.add(fields.node_of(name), f"global: '{name}' has no effect here")
    refuse(fields, GLOBAL_UNSUPPORTED)
    return Mail(
        sender=fields.text("smtp_from") or "",
        smarthost=fields.text("smtp_smarthost") or "",
        hello=fields.text("smtp_hello") or "localhost",
        username=fields.text("smtp_auth_username") or "",
        password=secret(fields, "smtp_auth_password", folder),
        require_tls=boolean(fields, "smtp_require_tls", True),
    )


def refuse(fields: Fields, names: tuple[str, ...]) -> None:
    """Complain about Alertmanager's fields that are not supported."""
    for name in names:
        if name in fields:
            fields.complain(name, "is not supported; leave it out", "unsupported")


def read_receivers(
    root: Fields, mail: Mail, folder: Path, complaints: Complaints, notes: Complaints
) -> dict[str, Receiver]:
    """The receivers by name."""
    reader = _Reader(mail, folder, complaints, notes)
    found: dict[str, Receiver] = {}
    for node in root.items("receivers"):
        receiver = reader.receiver(node)
        if receiver.name in found:
            complaints.add(node, f"receiver {receiver.name!r} is in the file twice")
        found[receiver.name] = receiver
    return found


class _Reader:
    """Reads receivers with what they share."""

    def __init__(self, mail: Mail, folder: Path, complaints: Complaints, notes: Complaints) -> None:
        self._mail, self._folder, self._complaints, self._notes = mail, folder, complaints, notes
        self._kinds: dict[str, tuple[Callable[[Fields], Channel | None], tuple[str, ...], bool]] = {
            "webhook_configs": (self._webhook, WEBHOOK, True),
            "email_configs": (self._email, (*EMAIL, *EMAIL_UNSUPPORTED), False),
            "alertmanager_configs": (self._forward, FORWARD, True),
            "apprise_configs": (self._apprise, APPRISE, True),
        }

    def receiver(self, node: yaml.Node) -> Receiver:
        fields = Fields(node, "receiver", ("name", *self._kinds, *UNSUPPORTED_KINDS), self._complaints)
        name = fields.required("name")
        for kind, scheme in UNSUPPORTED_KINDS.items():
            if kind in fields:
                remedy = f"use apprise_configs: [{{url: '{scheme}…'}}]"
                fields.complain(kind, f"is not supported (receiver {name!r}); {remedy}", "unsupported")
        integrations: list[Integration] = []
        for kind, (read, allowed, resolved) in self._kinds.items():
            for index, item in enumerate(fields.items(kind)):
                part = Fields(item, f"{kind} of receiver {name!r}", allowed, self._complaints)
                channel = read(part)
                send_resolved = boolean(part, "send_resolved", resolved) if "send_resolved" in allowed else resolved
                if channel is not None:
                    integrations.append(Integration(name, index, channel, send_resolved, line_of(item)))
        return Receiver(name, tuple(integrations), line_of(node))

    def _webhook(self, fields: Fields) -> Webhook | None:
        url = self._url(fields)
        if url is None:
            return None
        most = fields.text("max_alerts") or "0"
        if not most.isdecimal():
            fields.complain("max_alerts", f"{most!r} is not a whole number")
            most = "0"
        return Webhook(
            url, int(most), self._timeout(fields), self._http(fields), secret(fields, "hmac_secret", self._folder)
        )

    def _forward(self, fields: Fields) -> Forward | None:
        url = self._url(fields)
        return None if url is None else Forward(url.rstrip("/"), self._timeout(fields), self._http(fields))

    def _apprise(self, fields: Fields) -> Apprise | None:
        url = secret(fields, "url", self._folder)
        if "://" not in url:
            fields.complain("url", "an apprise URL is needed, as in slack://token/#channel")
            return None
        return Apprise(url)

    def _email(self, fields: Fields) -> Email | None:
        refuse(fields, EMAIL_UNSUPPORTED)
        to = tuple(part.strip() for part in fields.required("to").split(",") if part.strip())
        sender = fields.text("from") or self._mail.sender
        smarthost = fields.text("smarthost") or self._mail.smarthost
        host, _, port = smarthost.rpartition(":")
        if not sender:
            fields.complain("from", "is missing, and global 'smtp_from' too")
        if not host or not port.isdecimal():
            fields.complain("smarthost", f"{smarthost!r} is not host:port (or give global 'smtp_smarthost')")
        headers = fields.texts("headers")
        for name, text in headers.items():
            if "{{" in text:
                fields.complain("headers", f"{name}: templates are not supported; write plain text", "unsupported")
        if not (to and sender and host and port.isdecimal()):
            return None
        ca_file, server_name, verify = read_tls(fields, self._folder, self._complaints)
        return Email(
            to=to,
            sender=sender,
            host=host.strip("[]"),
            port=int(port),
            hello=fields.text("hello") or self._mail.hello,
            username=fields.text("auth_username") or self._mail.username,
            password=secret(fields, "auth_password", self._folder) or self._mail.password,
            require_tls=boolean(fields, "require_tls", self._mail.require_tls),
            headers=headers,
            ca_file=ca_file,
            server_name=server_name,
            verify=verify,
        )

    def _url(self, fields: Fields) -> str | None:
        url = secret(fields, "url", self._folder)
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or any(character.isspace() for character in url):
            fields.complain("url", "an address as https://host/path is needed")
            return None
        return url

    def _timeout(self, fields: Fields) -> float:
        given = fields.duration_ms("timeout")
        return given / 1000 if given else 10.0

    def _http(self, fields: Fields) -> HttpOptions:
        if "http_config" not in fields:
            return HttpOptions()
        return read_http(fields.node_of("http_config"), self._folder, self._complaints, self._notes)
