"""The OpenAPI document: as committed, and its examples are what the models accept."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from api import models
from api.app import create_app, describe
from api.openapi import TARGET, document

SCHEMA = json.loads(document())
MODELS = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]


def test_the_committed_document_is_not_stale() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run: .venv/bin/python -m api.openapi"


@pytest.mark.parametrize("model", [kind for kind in MODELS if kind is not BaseModel], ids=lambda kind: kind.__name__)
def test_examples_are_valid(model: type[BaseModel]) -> None:
    for example in model.model_json_schema().get("examples", []):
        model.model_validate(example)
    for name, field in model.model_fields.items():
        for example in field.examples or []:
            kind: Any = field.annotation
            TypeAdapter(kind).validate_python(example, strict=False), name


def test_the_answers_of_ours_have_examples() -> None:
    for name in ("HostList", "AlertList", "AlertHistory", "Problem"):
        assert SCHEMA["components"]["schemas"][name]["examples"]


def test_every_operation_has_a_name_a_sentence_and_says_how_it_fails() -> None:
    for path, operations in SCHEMA["paths"].items():
        for operation in operations.values():
            assert operation["operationId"].islower(), path
            assert operation["description"], path
            assert "application/problem+json" in operation["responses"]["default"]["content"], path
            assert "422" not in operation["responses"], path


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)
    for name in {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in SCHEMA["components"]["schemas"]


def test_it_is_made_once() -> None:
    app = create_app()
    assert describe(app) is describe(app)
