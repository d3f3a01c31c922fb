"""Modules and style sheets of the page: served under an address that changes with them, and nothing beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from demo.page.page_assets import PageAssets, page_assets
from demo.server.asset_routes import asset_router


def make_assets(root: Path, script: str = "export const answer = 42;") -> PageAssets:
    for folder, name, content in (("js", "main.js", script), ("css", "base.css", "p { margin: 0 }"), ("css", "a.css", "b { top: 0 }")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_text(content, encoding="utf-8")
    (root / "secret.js").write_text("no", encoding="utf-8")
    return PageAssets.read(root)


@pytest.fixture
def assets(tmp_path: Path) -> PageAssets:
    return make_assets(tmp_path)


@pytest.fixture
def client(assets: PageAssets) -> TestClient:
    app = FastAPI()
    app.include_router(asset_router(assets))
    return TestClient(app)


@pytest.mark.parametrize(("name", "content_type"), [("main.js", "text/javascript"), ("base.css", "text/css")])
def test_a_file_is_kept_for_good(client: TestClient, assets: PageAssets, name: str, content_type: str) -> None:
    response = client.get(assets.address(name))
    assert response.status_code == 200 and response.content == assets.files[name]
    assert response.headers["content-type"].startswith(content_type) and "immutable" in response.headers["cache-control"]
    assert client.head(assets.address(name)).status_code == 200


@pytest.mark.parametrize("name", ["secret.js", "..%2Fsecret.js", "%2e%2e/secret.js", "main", "main.js/"])
def test_no_other_file_is_served(client: TestClient, assets: PageAssets, name: str) -> None:
    assert client.get(f"page-assets/{assets.digest}/{name}", follow_redirects=False).status_code in (404, 307)
    assert client.get(f"page-assets/{assets.digest}/{name}").content != b"no"


def test_another_version_is_not_served_from_this_one(client: TestClient) -> None:
    response = client.get("page-assets/0123456789abcdef/main.js")
    assert response.status_code == 404 and response.headers["cache-control"] == "no-store"


def test_the_address_changes_with_the_content(tmp_path: Path, assets: PageAssets) -> None:
    assert make_assets(tmp_path / "same").digest == assets.digest
    assert make_assets(tmp_path / "other", "export const answer = 43;").digest != assets.digest
    with pytest.raises(KeyError):
        assets.address("secret.js")


def test_the_base_style_comes_first(assets: PageAssets) -> None:
    assert assets.style() == "p { margin: 0 }\nb { top: 0 }"


def test_an_incomplete_installation_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="install the package anew"):
        PageAssets.read(tmp_path)


def test_the_page_has_its_modules() -> None:
    assert {"main.js", "connection.js", "patch.js"} <= set(page_assets().files)
