"""`/openapi.json` of an app: its routes as they are registered, bodies from the very types that check them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_PARAMETER = re.compile(r"<(?:any\(([^)]*)\):)?(?:[a-z]+:)?(\w+)>")
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "what programs read"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def describe(app: Any, title: str, bodies: dict[str, Any], bearer: bool) -> dict[str, Any]:
    """OpenAPI 3.1. `bodies`: "METHOD /rule" → the Struct its body is read as."""
    schemas, components = msgspec.json.schema_components(
        bodies.values(), ref_template="#/components/schemas/{name}"
    )
    shapes = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = _PARAMETER.sub(r"{\2}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(
                app, rule, shapes.get(f"{method} {rule.rule}"), bearer
            )
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {"Problem": _PROBLEM, **components}},
    }
    if bearer:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _operation(app: Any, rule: Any, shape: Any, bearer: bool) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation: dict[str, Any] = {
        "operationId": rule.endpoint,
        "summary": rule.endpoint.rpartition(".")[2].replace("_", " "),
        "parameters": [
            {
                "name": match[2],
                "in": "path",
                "required": True,
                "schema": {"type": "string"}
                | ({"enum": [one.strip() for one in match[1].split(",")]} if match[1] else {}),
            }
            for match in _PARAMETER.finditer(rule.rule)
        ],
        "responses": {
            "2XX": {"description": "done"},
            "default": {"description": "refused", "content": problem},
        },
    }
    if shape is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shape}}}
    if bearer and rule.rule.startswith("/api/"):
        operation["security"] = [{"key": []}]
    return operation
