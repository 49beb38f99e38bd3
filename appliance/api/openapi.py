"""The description of the API (OpenAPI 3.1), made from the route table and its types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from appliance import __version__
from appliance.api.problem import CONTENT_TYPE, Problem
from appliance.api.route import Route
from appliance.jobs.verb import Parameter, Verb

ROOT = "/api/v1"
_TEMPLATE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_KINDS = {"path": "string"}
_ALWAYS = (400, 401, 403, 404, 422, 429)


def describe_api(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    routes = list(routes)
    schemas, components = _collect(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(ROOT + route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": "Everything that the box can do. Sizes are bytes, durations seconds, "
            "times UTC. Lists are paged by `limit` and `after`; writes take an Idempotency-Key; "
            "errors are problem+json.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Problem": {
                    "description": "What went wrong",
                    "content": {CONTENT_TYPE: {"schema": schemas[id(Problem)]}},
                }
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-holdfast"},
            },
        },
    }


def _collect(routes: list[Route]) -> tuple[dict[int, Mapping[str, Any]], dict[str, Any]]:
    """The schema of each type by its identity, and what they share."""
    types: list[Any] = [Problem]
    for route in routes:
        types += [
            kind
            for kind in (route.answer, route.body)
            if kind not in (None, bytes) and kind not in types
        ]
    found, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    return {id(kind): schema for kind, schema in zip(types, found, strict=True)}, components


def _operation(route: Route, schemas: dict[int, Mapping[str, Any]]) -> dict[str, Any]:
    needs = "nobody" if route.role == "nobody" else " or ".join([route.role, *sorted(route.also)])
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.path.split("/")[1]],
        "x-role": needs,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in _PARAMETER.findall(route.path)
        ],
        "responses": _responses(route, schemas),
        "security": [] if route.role == "nobody" else [{"token": []}, {"session": []}],
    }
    if route.is_destructive:
        operation["x-destructive"] = True
    if route.query is not None:
        operation["parameters"] += _query(route.query)
    if route.is_upload:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.method != "GET":
        operation["parameters"] += _headers()
    if route.body is not None:
        operation["requestBody"] = _body(route, schemas)
    return operation


def _query(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    (_,), components = msgspec.json.schema_components([kind], ref_template=_TEMPLATE)
    (schema,) = (one for name, one in components.items() if name == kind.__name__)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(value)}
        for name, value in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """In a query what is not there is left out: it cannot be null."""
    rest = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(rest) != 1:
        return schema
    return {**rest[0], **{key: value for key, value in schema.items() if key == "description"}}


def _headers() -> list[dict[str, Any]]:
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
            "description": "Repeated within a day, the same request is answered as it was.",
        }
    ]


def _body(route: Route, schemas: dict[int, Mapping[str, Any]]) -> dict[str, Any]:
    schema = schemas[id(route.body)] if route.verb is None else describe_arguments(route.verb)
    required = route.verb is None or any(one.is_required for one in route.verb.parameters)
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _responses(route: Route, schemas: dict[int, Mapping[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.answer is bytes:
        answer["content"] = {route.content_type: {"schema": {"type": "string"}}}
    elif route.answer is not None:
        answer["content"] = {route.content_type: {"schema": schemas[id(route.answer)]}}
    problem = {"$ref": "#/components/responses/Problem"}
    responses: dict[str, Any] = {str(route.status): answer}
    if route.verb is not None:
        responses["200"] = {**answer, "description": "It has ended within `wait` seconds"}
    for status in sorted({*_ALWAYS, *route.problems}):
        responses[str(status)] = problem
    responses["default"] = problem
    return responses


def describe_arguments(verb: Verb) -> dict[str, Any]:
    """The schema of the arguments of a verb."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {one.name: _argument(one) for one in verb.parameters},
        "required": [one.name for one in verb.parameters if one.is_required],
    }


def _argument(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _KINDS.get(parameter.kind, parameter.kind)}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.is_list:
        schema = {"type": "array", "items": schema, "minItems": int(parameter.is_required)}
    if parameter.default is not None:
        schema["default"] = parameter.default
    text = parameter.help
    if parameter.is_secret:
        text += " (give the content of the file here; it is kept nowhere)"
    return {**schema, "description": text.strip()}
