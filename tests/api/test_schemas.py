"""The running box against its own description: schemathesis asks, and no answer surprises."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.box import Box, Client
from tests.conftest import SEED

# Answers for ever, or starts a program for each request.
_LEFT_OUT = re.compile(r".*(/events|/screen|/bundle|/drills/\{drill\}(/report)?|/files.*)$")
# Writes that leave the box as it is when what they are about is not there.
_WRITES = re.compile(
    r".*(/jobs/.*|/run/(hold|release|unforget|machines/pause|vault/sync|collect)|/box/unlock"
    r"|/setup/(open|steps/.*|key)|/session/totp|/tokens/\{token\}|/approvals/.*)$"
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def ask_everything(box: Box, admin: Client, examples: int) -> int:
    """Ask each operation `examples` times; how many operations there were."""
    made = admin.post("/tokens", {"name": "schemas", "role": "admin"}, expect=201)
    headers = {"Authorization": f"Bearer {made['secret']}"}
    schema = schemathesis.openapi.from_dict(admin.get("/openapi.json"))
    count = 0
    for result in schema.get_all_operations():
        operation = cast("Any", result).ok()
        wanted = operation.method.upper() == "GET" or _WRITES.match(operation.path)
        if not wanted or _LEFT_OUT.match(operation.path):
            continue
        count += 1

        @seeded(SEED)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(
                base_url=f"https://127.0.0.1:{box.port}",
                headers=headers,
                verify=str(admin.authority),
                checks=CHECKS,
                timeout=90,
            )

        ask()
    return count


def test_answers_are_as_described(box: Box, admin: Client, seed: int) -> None:
    assert ask_everything(box, admin, examples=4) > 40


@pytest.mark.slow
@pytest.mark.timeout(7200)  # some seventy operations, a hundred times each
def test_many_answers_are_as_described(box: Box, admin: Client, seed: int) -> None:
    assert ask_everything(box, admin, examples=100) > 40
