"""The interface's description: committed, with examples that are true, and cheap to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api import models
from api.app import create_app
from api.settings import Settings
from tests.api.kit import ROOT, Running

SNAPSHOT = Path(__file__).parent / "openapi.json"
REWRITE = "PYTHONPATH=. python -m tests.api.http.test_openapi"


def shown(model: type[models.Model]) -> list[dict[str, Any]]:
    """The examples of a resource."""
    extra = model.model_config.get("json_schema_extra")
    found: list[dict[str, Any]] = extra.get("examples", []) if isinstance(extra, dict) else []  # type: ignore[assignment]
    return found


RESOURCES = [getattr(models, name) for name in models.__all__ if isinstance(getattr(models, name), type)]
BODIES = [model for model in RESOURCES if shown(model)]


def described(folder: Path) -> dict[str, Any]:
    return create_app(Settings(out=folder, reconcile=False)).openapi()


def test_the_description_is_the_committed_one(tmp_path: Path) -> None:
    found = json.loads(json.dumps(described(tmp_path)))
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8")), f"the interface changed; if that is meant: {REWRITE}"


def test_the_description_is_served_as_openapi_3_1(shared: Running) -> None:
    answer = shared.client.get("/v1/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")
    assert answer.json() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("model", BODIES, ids=lambda model: model.__name__)
def test_examples_are_valid(model: type[models.Model]) -> None:
    assert shown(model)
    for example in shown(model):
        model.model_validate_json(json.dumps(example))


def test_every_operation_is_named_by_hand_and_documents_its_problems(tmp_path: Path) -> None:
    names = []
    for path, operations in described(tmp_path)["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            assert operation["summary"] and operation["description"], path
            assert {"400", "422"} <= set(operation["responses"]), path
            guarded = path not in ("/healthz", "/readyz")
            assert ({"401", "403", "429", "503", "507"} <= set(operation["responses"])) is guarded, path
            assert bool(operation.get("security")) is guarded, path
    assert len(names) == len(set(names))
    assert all("__" not in name and name == name.lower() for name in names)


def test_every_body_has_an_example(tmp_path: Path) -> None:
    schema = described(tmp_path)
    for operations in schema["paths"].values():
        for operation in operations.values():
            bodies = [operation["requestBody"]["content"]] if "requestBody" in operation else []
            bodies += [told["content"] for told in operation["responses"].values() if "content" in told]
            for content in bodies:
                for kind, body in content.items():
                    if kind.endswith("json"):
                        assert has_example(schema, body["schema"]), (operation["operationId"], body)


def has_example(schema: dict[str, Any], body: dict[str, Any]) -> bool:
    if "$ref" in body:
        named: dict[str, Any] = schema["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]]
        return bool(named.get("examples"))
    if "anyOf" in body:
        return any(has_example(schema, part) for part in body["anyOf"])
    return bool(body.get("examples")) or ("items" in body and has_example(schema, body["items"]))


def test_importing_the_application_loads_nothing_heavy() -> None:
    code = (
        "import sys; import api.app, api.service, api.__main__\n"
        "from api.settings import Settings\n"
        "api.app.create_app(Settings(out='/nonexistent', reconcile=False)).openapi()\n"
        "print(*[m for m in ('torch', 'ray', 'pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(Path("/nonexistent")), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
