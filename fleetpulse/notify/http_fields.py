"""Alertmanager's `http_config` and `tls_config`, read field by field."""

import base64
from pathlib import Path

import yaml

from fleetpulse.notify.config import HttpOptions
from fleetpulse.notify.fields import boolean, secret
from fleetpulse.rules.fields import Complaints, Fields

HTTP = ("authorization", "basic_auth", "bearer_token", "bearer_token_file", "follow_redirects", "tls_config")
HTTP_UNSUPPORTED = (
    "proxy_url",
    "proxy_from_environment",
    "no_proxy",
    "proxy_connect_header",
    "oauth2",
    "enable_http2",
    "http_headers",
)
TLS = ("ca_file", "server_name", "insecure_skip_verify")
TLS_UNSUPPORTED = ("ca", "cert", "cert_file", "key", "key_file", "min_version", "max_version")


def read_http(node: yaml.Node, folder: Path, complaints: Complaints, notes: Complaints) -> HttpOptions:
    """How requests are made."""
    fields = Fields(node, "http_config", (*HTTP, *HTTP_UNSUPPORTED), complaints)
    for name in HTTP_UNSUPPORTED:
        if name in fields:
            fields.complain(name, "is not supported; leave it out", "unsupported")
    if boolean(fields, "follow_redirects", False):
        notes.add(fields.node_of("follow_redirects"), "http_config: redirects are never followed")
    ca_file, server_name, verify = read_tls(fields, folder, complaints)
    headers = _authorization(fields, folder, complaints)
    return HttpOptions(headers=headers, ca_file=ca_file, server_name=server_name, verify=verify)


def read_tls(fields: Fields, folder: Path, complaints: Complaints) -> tuple[str, str, bool]:
    """(file with the CA certificates, name that the certificate must have, whether it is verified)."""
    if "tls_config" not in fields:
        return "", "", True
    tls = Fields(fields.node_of("tls_config"), "tls_config", (*TLS, *TLS_UNSUPPORTED), complaints)
    for name in TLS_UNSUPPORTED:
        if name in tls:
            tls.complain(name, "is not supported; leave it out", "unsupported")
    ca_file = tls.text("ca_file")
    if ca_file is not None and not (folder / ca_file).is_file():
        tls.complain("ca_file", f"there is no file {ca_file!r}")
    verify = not boolean(tls, "insecure_skip_verify", False)
    return str(folder / ca_file) if ca_file else "", tls.text("server_name") or "", verify


def _authorization(fields: Fields, folder: Path, complaints: Complaints) -> dict[str, str]:
    headers: dict[str, str] = {}
    if token := secret(fields, "bearer_token", folder):
        headers["Authorization"] = f"Bearer {token}"
    if "authorization" in fields:
        allowed = ("type", "credentials", "credentials_file")
        part = Fields(fields.node_of("authorization"), "authorization", allowed, complaints)
        headers["Authorization"] = f"{part.text('type') or 'Bearer'} {secret(part, 'credentials', folder)}"
    if "basic_auth" in fields:
        allowed = ("username", "password", "password_file")
        part = Fields(fields.node_of("basic_auth"), "basic_auth", allowed, complaints)
        pair = f"{part.text('username') or ''}:{secret(part, 'password', folder)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if any("\r" in value or "\n" in value for value in headers.values()):
        complaints.add(fields.node, "http_config: credentials may not have line breaks")
    return headers
