"""JSON Schema (2020-12) and OpenAPI 3.1 in short words, for the tables of this package.  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Json = dict[str, object]

TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
SECONDS: Json = {"type": "number", "minimum": 0, "description": "seconds"}
MILLISECONDS: Json = {"type": "number", "minimum": 0, "description": "milliseconds"}
YES_NO: Json = {"type": "boolean"}
TIME: Json = {"type": "string", "format": "date-time", "description": "UTC, with milliseconds"}
PORT: Json = {"type": "integer", "minimum": 0, "maximum": 65535}
SHARE: Json = {"type": "number", "minimum": 0, "maximum": 1}
MOS: Json = {"type": "number", "minimum": 1, "maximum": 5, "description": "quality of sound: 1 bad, 4.4 best"}
COUNTS: Json = {"type": "object", "additionalProperties": COUNT}


def or_null(schema: Json) -> Json:
    """For what has not happened yet or is not known."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]} | (
        {"enum": [*_sequence(schema["enum"]), None]} if "enum" in schema else {}
    )


def _sequence(value: object) -> Sequence[object]:
    assert isinstance(value, Sequence)
    return value


def one_of(*values: str) -> Json:
    return {"type": "string", "enum": list(values)}


def about(schema: Json, description: str) -> Json:
    return {**schema, "description": description}


def many(schema: Json, **limits: int) -> Json:
    return {"type": "array", "items": schema, **limits}


def record(fields: Mapping[str, Json], optional: Sequence[str] = (), description: str = "") -> Json:
    """An object that has these members and no others; all but the `optional` ones are always there."""
    made: Json = {
        "type": "object",
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }
    return {**made, "description": description} if description else made


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


# ------------------------------------------------------------------------------------------------ operations


def query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def in_path(name: str, description: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def in_header(name: str, description: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "header", "schema": schema, "description": description}


PAGING = (
    query(
        "limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "how many; 50 of a history unless told otherwise"
    ),
    query("offset", {"type": "integer", "minimum": 0, "maximum": 1_000_000_000}, "how many to leave out before"),
)

_PAGE_HEADERS: Json = {
    "X-Total-Count": {"schema": COUNT, "description": "how many there are in all"},
    "Link": {"schema": TEXT, "description": "the next page, while there is one (RFC 8288)"},
}


def answer(schema: Json, description: str, media_type: str = "application/json", headers: Json | None = None) -> Json:
    made: Json = {"description": description, "content": {media_type: {"schema": schema}}}
    return {**made, "headers": headers} if headers else made


IN_LANGUAGE: Json = {"Content-Language": {"schema": TEXT, "description": "the language of its sentences"}}


def page_of(schema: Json, description: str) -> Json:
    return answer(many(schema), description, headers=_PAGE_HEADERS)


def done(**members: Json) -> Json:
    """What a route that changes something says."""
    return answer(record({"message": TEXT, **members}), "what was done, as a sentence")


PROBLEMS = {
    400: "something in the request can't be used; `parameter` names it",
    401: "a token is needed",
    403: "a foreign web page or an unknown host name asks",
    404: "there is no such thing",
    409: "the state of things forbids it",
    413: "the request is too large",
    415: "the body must be JSON",
    422: "the same Idempotency-Key came with another body",
    429: "too many requests; wait `Retry-After` seconds",
    500: "a fault of the server; `id` stands in its log too",
    503: "not now; wait `Retry-After` seconds",
}
_ALWAYS = (400, 401, 403, 429, 500)


def operation(
    name: str,
    summary: str,
    answers: Mapping[int, Json],
    *,
    parameters: Sequence[Json] = (),
    body: Json | None = None,
    problems: Sequence[int] = (),
    description: str = "",
) -> Json:
    """`problems` are those beside what any request may meet."""
    statuses = sorted({*_ALWAYS, *problems, *((413, 415) if body else ())})
    made: Json = {
        "operationId": name,
        "summary": summary,
        "responses": {
            **{str(status): each for status, each in answers.items()},
            **{str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in statuses},
        },
    }
    if parameters:
        made["parameters"] = list(parameters)
    if body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if description:
        made["description"] = description
    return made
