"""`/api/fleet/v1/rules`: rule groups, their versions, and changes of them.

A change says who makes it (`author`, or the header Fleetpulse-Author: nobody is authenticated yet) and which version
it was made from (If-Match with the ETag).
"""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from api import rule_models as models
from api.deps import ContextDep
from api.errors import ParameterError, rule_problem
from api.rule_book import FileText
from api.rules_shown import checked, group_info, version_info

router = APIRouter(prefix="/api/fleet/v1/rules", tags=["rules"])

GroupName = Annotated[str, Path(description="The group's name.", examples=["web"], max_length=4096)]
AuthorHeader = Annotated[str | None, Header(alias="Fleetpulse-Author", description="Who makes the change.")]
IfMatch = Annotated[str | None, Header(alias="If-Match", description='The ETag of what was changed, as "3"; or *.')]


@router.get("")
def list_rules(context: ContextDep) -> models.RuleGroupList:
    """Every rule group in force, with its rules."""
    status = context.status()
    return models.RuleGroupList(groups=[group_info(*found, status) for found in context.rules.groups()])


@router.post("", status_code=201)
def create_rules(
    context: ContextDep, change: models.RuleChange, response: Response, author: AuthorHeader = None
) -> models.RuleGroupInfo:
    """Make a rule group that belongs to the API. 409 when there is one of its name."""
    version = context.rules.create(change.text, _author(change.author, author))
    return _answer(context, version.name, response)


@router.post("/check")
def check_rules(context: ContextDep, files: models.RuleFiles) -> models.RuleCheck:
    """Check rule files beside the rules in force; nothing is changed. Wrong rules are an answer, not an error."""
    return checked(context.rules.check(_files(files)), context.status(), context.warn)


@router.post("/apply")
def apply_rules(context: ContextDep, files: models.RuleApply, author: AuthorHeader = None) -> models.RuleSteps:
    """Make the groups of rule files what is in force, all in one change; the same files again change nothing."""
    who = _author(files.author, author)
    steps = context.rules.apply(_files(files), who, files.prune, files.dry_run)
    found = context.rules.check(_files(files))
    shown = [
        models.RuleStep.model_validate({field: getattr(step, field) for field in models.RuleStep.model_fields})
        for step in steps
    ]
    warnings = [rule_problem(warning) for warning in context.warn(found.rules)]
    return models.RuleSteps(steps=shown, applied=not files.dry_run, warnings=warnings)


# A name may have a slash in it, so the longer routes come first.
@router.get("/{name:path}/versions")
def list_rule_versions(context: ContextDep, name: GroupName) -> models.RuleVersionList:
    """Every version of a rule group, newest first, with its text; also of a deleted group."""
    versions = [version_info(version) for version in context.rules.versions(name)]
    return models.RuleVersionList(name=name, versions=versions)


@router.get("/{name:path}")
def get_rules(context: ContextDep, name: GroupName, response: Response) -> models.RuleGroupInfo:
    """One rule group. An unknown name is 404 and names the nearest ones."""
    return _answer(context, name, response)


@router.put("/{name:path}")
def replace_rules(
    context: ContextDep,
    name: GroupName,
    change: models.RuleChange,
    response: Response,
    if_match: IfMatch = None,
    author: AuthorHeader = None,
) -> models.RuleGroupInfo:
    """Give a group of the API another text, or make it. 412 when it changed meanwhile, 409 when a file owns it."""
    context.rules.replace(name, change.text, _author(change.author, author), if_match)
    return _answer(context, name, response)


@router.delete("/{name:path}", status_code=204)
def delete_rules(
    context: ContextDep, name: GroupName, if_match: IfMatch = None, author: AuthorHeader = None
) -> Response:
    """Delete a group of the API; its versions stay. Alerts of its rules end with reason rule_deleted."""
    context.rules.delete(name, _author(None, author), if_match)
    return Response(status_code=204)


def _answer(context: ContextDep, name: str, response: Response) -> models.RuleGroupInfo:
    version, group = context.rules.group(name)
    response.headers["ETag"] = f'"{version.version}"'
    return group_info(version, group, context.status())


def _author(named: str | None, header: str | None) -> str:
    author = (named or header or "").strip()
    if not author:
        raise ParameterError("author", "say who makes the change: the field author, or the header Fleetpulse-Author")
    if len(author) > 200:
        raise ParameterError("author", "at most 200 characters")
    return author


def _files(files: models.RuleFiles) -> list[FileText]:
    return [FileText(file.path, file.text) for file in files.files]
