"""The shapes of rules in our own API, `/api/fleet/v1/rules`."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from api.models import ParameterProblem

TEXT_EXAMPLE = """groups:
  - name: web
    rules:
      - alert: WebErrors
        expr: rate(http_errors_total[5m])
        warning: "> 1"
        critical: "> 10"
"""
RuleText = Annotated[str, Field(description="A Prometheus rule file with one group.", examples=[TEXT_EXAMPLE])]
Author = Annotated[
    str | None,
    Field(
        default=None,
        max_length=200,
        description="Who changes it; else the header Fleetpulse-Author.",
        examples=["ada"],
    ),
]


class RuleInfo(BaseModel):
    """One rule of a group, and where it runs."""

    name: str = Field(examples=["WebErrors"])
    group: str = Field(examples=["web"])
    kind: Literal["alert", "record"]
    expr: str
    owner: Literal["file", "api"]
    engine: Literal["stream", "ruler"] = Field(description="ruler: over several hosts; it waits, nothing evaluates it.")
    waiting: str | None = Field(description="Why it does not run on the stream.")
    state: Literal["inactive", "pending", "firing"] | None = Field(description="Of its alerts; null: a recording rule.")
    health: Literal["ok", "err", "unknown"]
    lastError: str = Field(description="Why it is not evaluated; empty: it is.")
    hash: str = Field(description="Changes with what ends open episodes: expression and labels.")


class RuleGroupInfo(BaseModel):
    """One rule group in its newest version."""

    name: str = Field(examples=["web"])
    owner: Literal["file", "api"] = Field(description="file: changed by `fleetpulse rules apply` alone.")
    file: str = Field(description="Of a file's group: the path as it was applied.")
    version: int = Field(description="Also the ETag.")
    author: str
    changed: str = Field(description="When this version was written.")
    text: str = Field(description="A rule file with this group alone.")
    rules: list[RuleInfo]


class RuleGroupList(BaseModel):
    """Every rule group in force, by name."""

    groups: list[RuleGroupInfo]


class RuleVersion(BaseModel):
    """One version of a group."""

    version: int
    action: Literal["create", "update", "delete"]
    owner: Literal["file", "api"]
    file: str
    author: str
    changed: str
    text: str = Field(description="Of a deletion: what was deleted.")


class RuleVersionList(BaseModel):
    """The versions of a group, newest first."""

    name: str
    versions: list[RuleVersion]


class RuleChange(BaseModel):
    """A new text of a group."""

    text: RuleText
    author: Author = None


class RuleFile(BaseModel):
    """A rule file."""

    path: str = Field(min_length=1, max_length=4096, description="As the complaints shall name it.")
    text: str


class RuleFiles(BaseModel):
    """Rule files to be checked."""

    files: list[RuleFile] = Field(min_length=1)


class RuleApply(RuleFiles):
    """Rule files to be made what is in force."""

    author: Author = None
    prune: list[Annotated[str, Field(max_length=4096)]] | None = Field(
        default=None,
        description="Files and folders: groups that belong to a file of them and are in none of `files` are deleted.",
    )
    dry_run: bool = Field(default=False, description="Only say what would be done.")


class RuleStep(BaseModel):
    """What is done with one group."""

    name: str
    action: Literal["create", "update", "delete", "unchanged"]
    file: str
    before: str = Field(description="The text until now; empty: there was none.")
    after: str


class RuleSteps(BaseModel):
    """What `apply` did, or would do."""

    steps: list[RuleStep]
    applied: bool
    warnings: list[ParameterProblem] = Field(description="What is right but may not be meant.")


class RuleCheck(BaseModel):
    """What is right and what is wrong in rule files, beside the rules in force."""

    ok: bool
    errors: list[ParameterProblem]
    warnings: list[ParameterProblem] = Field(description="What is right but may not be meant.")
    rules: list[RuleInfo]
