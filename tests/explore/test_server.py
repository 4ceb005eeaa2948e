"""The server: its own page works through it, and nobody else's request does."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from urllib.parse import urlsplit

import pytest
import torch
from chromium import launched, until
from small_runs import decoded, encoded, untrained

pytest.importorskip("fastapi", reason="fastapi is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

from vaelab.explore import model, server
from vaelab.explore.export import explorer_page

HEADERS = {"host": "127.0.0.1:81", "x-token": "secret"}


@pytest.fixture(scope="module")
def run():
    from vaelab.data import load

    data = load("digits8x8")
    return untrained("vae", data), data


def ask(run, path, body, headers=HEADERS, method="POST"):
    """Status, headers and content of a request, without a socket."""
    app = server.application("<p>page", [run], "secret", 81)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 81),
        "root_path": "",
    }
    sent, parts = [], [content[i : i + 65536] for i in range(0, len(content), 65536)] or [b""]

    async def receive():
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:])


def test_programs_agree_with_the_model(run):
    made, data = run
    z = torch.tensor([[0.25, -1.5], [1.0, 2.0]])
    status, headers, content = ask(made, "/api/0/decode", {"rows": z.tolist()})
    assert status == 200
    assert headers["x-widths"] == "64"
    values = torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(2, 64)
    assert torch.allclose(values, decoded(made, z).flatten(1), atol=1e-5)
    x = data.test.x[:2].float()
    status, headers, content = ask(made, "/api/0/encode", {"rows": x.flatten(1).tolist()})
    assert headers["x-widths"] == "2,2"
    values = torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(2, 4)
    assert torch.allclose(values[:, :2], encoded(made, x), atol=1e-5)
    body = {"rows": x.flatten(1).tolist(), "temperature": 2.0, "seed": 4}
    one, two = (ask(made, "/api/0/draw", body)[2] for _ in range(2))
    assert one == two != ask(made, "/api/0/draw", body | {"seed": 5})[2]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/api/0/decode", {"rows": [[0, 0]]}, {"x-token": "guess"}, 403),
        ("/api/0/decode", {"rows": [[0, 0]]}, {"x-token": "é"}, 403),
        ("/api/0/decode", {"rows": [[0, 0]]}, {"host": "rebound.example"}, 421),
        ("/api/0/decode", {"rows": [[0, 0]]}, {"host": "127.0.0.1:82"}, 421),
        ("/api/1/decode", {"rows": [[0, 0]]}, {}, 404),
        ("/api/-1/decode", {"rows": [[0, 0]]}, {}, 404),
        ("/api/0/eval", {"rows": [[0, 0]]}, {}, 404),
        ("/api/../../etc/passwd", {}, {}, 404),
        ("/api/0/decode", b'{"rows": [[NaN, 0]]}', {}, 422),
        ("/api/0/decode", b'{"rows": [[1e999, 0]]}', {}, 422),
        ("/api/0/decode", {"rows": [[1e38, 0]]}, {}, 422),
        ("/api/0/decode", {"rows": [[0]]}, {}, 422),
        ("/api/0/decode", {"rows": []}, {}, 422),
        ("/api/0/decode", {"rows": [[0, 0]] * 65}, {}, 422),
        ("/api/0/decode", {"rows": [[0, 0]], "condition": [[1.0]]}, {}, 422),
        ("/api/0/decode", {"rows": [[0, 0]], "temperature": -1}, {}, 422),
        ("/api/0/decode", {"rows": [[0, 0]], "run": "/etc"}, {}, 422),
        ("/api/0/decode", b"[" * 100_000, {}, 422),
    ],
)
def test_other_requests_are_refused(run, path, body, headers, status):
    assert ask(run[0], path, body, HEADERS | headers)[0] == status


def test_bodies_are_bounded(run, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 100_000)
    assert ask(run[0], "/api/0/decode", b" " * 200_000)[0] == 413


def test_a_model_too_large_for_a_page_runs_through_the_server(run, monkeypatch):
    made, data = run
    monkeypatch.setattr(model, "LARGEST", 10)
    splits = (data.train, data.valid, data.test)
    with pytest.raises(ValueError, match=r"--export.*server"):
        explorer_page([made], ["vae"], splits=splits, most=40)
    html = explorer_page([made], ["vae"], splits=splits, most=40, served=True)
    opened = []
    thread = threading.Thread(
        target=server.serve, args=(html, [made], 0, opened.append), daemon=True
    )
    thread.start()
    while not opened:
        time.sleep(0.02)
    with launched() as browser:
        page = browser.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(opened[0])
        until(page, "performance.getEntriesByName('decoded').length > 0")
        page.hover(".over", position={"x": 90, "y": 90})
        until(page, "document.querySelector('.verdict').textContent !== ''")
        assert said == []
        home = urlsplit(opened[0])
        assert {urlsplit(url).netloc for url in asked if url.startswith("http")} == {home.netloc}
        assert not any("secret" in url or home.fragment in url for url in asked[1:])
