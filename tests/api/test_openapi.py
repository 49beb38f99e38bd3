"""The description and the page say what the code does."""

from __future__ import annotations

import json

from appliance.api.openapi import describe_api
from appliance.api.routes import list_routes
from appliance.cli.verbs import build_verbs
from tests.api.page import MARK, PAGE, render_tables

ROUTES = list_routes(build_verbs())


def test_the_page_lists_the_routes_that_there_are() -> None:
    assert PAGE.read_text().split(MARK)[1] == render_tables(), "python -m tests.api.page"


def test_every_verb_has_its_route() -> None:
    paths = {route.path for route in ROUTES if route.method == "POST"}
    for verb in build_verbs():
        assert f"/run/{verb.name.replace(' ', '/')}" in paths


def test_the_description_names_every_route_once_and_every_type_that_it_refers_to() -> None:
    document = describe_api(ROUTES)
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) == len(ROUTES)
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text
    referred = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert referred <= document["components"]["schemas"].keys()


def test_a_secret_argument_is_described_as_content() -> None:
    body = describe_api(ROUTES)["paths"]["/api/v1/run/vault/add"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert "content of the file" in schema["properties"]["credentials_file"]["description"]
    assert schema["additionalProperties"] is False
    assert "url" in schema["required"]
