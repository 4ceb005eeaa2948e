"""Server of an explorer on the person's own machine: the page, and the models that it cannot run.

    GET  /                   the page
    POST /api/{run}/{name}   encode, draw or decode rows; float32 values of all outputs, row by row

It listens on 127.0.0.1 alone. A random token in the fragment of the address, which no browser sends
along, is required of every call; the Host header must be the server's own, so that no foreign page
reaches it by a name that resolves to 127.0.0.1. Bodies are bounded and every number is finite. It
reads runs and never trains.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from torch import Tensor

from vaelab.core import cut, fork_rng, join
from vaelab.explore.model import deviations
from vaelab.runs.run import Run

HOST = "127.0.0.1"
MOST_ROWS, MOST_BYTES = 64, 32 * 2**20
PROGRAMS = ("encode", "draw", "decode")


class Refused(Exception):
    """Request that is not served; status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a call.

    Attributes:
        rows: raw examples, or codes for decode, as flat lists.
        condition: the condition of all rows, empty or one list.
        temperature: scale of the noise, 0 to 10.
        seed: seed of the noise.
    """

    rows: list[list[float]]
    condition: list[list[float]] = []
    temperature: float = 1.0
    seed: int | None = None


def application(page: str, runs: Sequence[Run], token: str, port: int) -> FastAPI:
    """The server's application.

    Args:
        page: HTML of the explorer.
        runs: runs in the order of the page.
        token: secret of this session.
        port: port that it listens on.
    """
    app = FastAPI(openapi_url=None)
    turn = asyncio.Lock()  # torch uses all cores for one call; others wait here, not in its pool

    @app.middleware("http")
    async def guard(request: Request, proceed: Callable[[Request], Any]) -> Response:
        if request.headers.get("host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return PlainTextResponse("the Host header is not this server's", 421)
        answer: Response = await proceed(request)
        answer.headers["cache-control"] = "no-store"
        answer.headers["x-content-type-options"] = "nosniff"
        return answer

    @app.get("/")
    def home() -> HTMLResponse:
        return HTMLResponse(page)

    @app.post("/api/{index}/{program}")
    async def call(index: int, program: str, request: Request) -> Response:
        try:
            given = request.headers.get("x-token", "")
            if not secrets.compare_digest(given.encode(), token.encode()):
                raise Refused(403, "the token is missing or of another session")
            if not 0 <= index < len(runs) or program not in PROGRAMS:
                raise Refused(404, "there is no such run or program")
            body = parse(await _body(request), runs[index], program)
            async with turn:
                outputs = await asyncio.to_thread(execute, runs[index], program, body)
        except Refused as refused:
            return PlainTextResponse(str(refused), refused.status)
        values = torch.cat([t.flatten(1) for t in outputs], 1).float().contiguous()
        widths = ",".join(str(t[0].numel()) for t in outputs)
        content = values.numpy().tobytes()
        return Response(
            content, headers={"x-widths": widths}, media_type="application/octet-stream"
        )

    return app


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise Refused(413, f"a body has at most {MOST_BYTES:,} bytes")
    return bytes(content)


def parse(content: bytes, run: Run, program: str) -> Call:
    """Read and check the body of a call.

    Raises:
        Refused: if it is no call of this program, or a number is not finite.
    """
    try:
        call = msgspec.json.decode(content, type=Call)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(422, str(error)) from None
    width = run.latent if program == "decode" else run.spec.dims
    conditions = 1 if run.spec.known else 0
    if not 1 <= len(call.rows) <= MOST_ROWS or any(len(row) != width for row in call.rows):
        raise Refused(422, f"rows are 1 to {MOST_ROWS} lists of {width} numbers")
    if [len(c) for c in call.condition] != [run.spec.known] * conditions:
        raise Refused(422, f"the condition is {conditions} lists of {run.spec.known} numbers")
    numbers = [x for row in (*call.rows, *call.condition) for x in row]
    if not all(map(math.isfinite, numbers)) or max(map(abs, numbers), default=0) > 1e30:
        raise Refused(422, "every number is finite and below 1e30")
    if not 0 <= call.temperature <= 10 or not 0 <= (call.seed or 0) < 2**63:
        raise Refused(422, "the temperature is 0 to 10 and the seed a non-negative integer")
    return call


@torch.no_grad()
def execute(run: Run, program: str, call: Call) -> list[Tensor]:
    """Outputs (B, …) of a program, those of `vaelab.explore.model`."""
    rows = torch.tensor(call.rows, device=run.device)
    condition = tuple(
        torch.tensor([c], device=run.device).expand(len(rows), -1) for c in call.condition
    )
    with fork_rng(call.seed or 0, run.device):
        if program == "decode":
            trace = run.model.decode(cut(rows, run.shapes), condition=condition)
            return [run.spec.unscale(trace.likelihood.mean).cpu()]
        x = run.spec.prepare(rows.unflatten(1, run.spec.shape))
        temperature = call.temperature if program == "draw" else 0.0
        trace = run.model(x, temperature=temperature, condition=condition)
        sigma = deviations(trace) if program == "encode" else None
        return [t.cpu() for t in (join(trace.latents), sigma) if t is not None]


def serve(page: str, runs: Sequence[Run], port: int, opened: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        page: HTML of the explorer.
        runs: runs in the order of the page.
        port: port on 127.0.0.1; 0 takes a free one.
        opened: receives the address with its token, once the port is open.

    Raises:
        OSError: if the port is in use.
    """
    import socket

    import uvicorn

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        settings = uvicorn.Config(
            application(page, runs, token, port), log_level="warning", lifespan="off"
        )
        opened(f"http://{HOST}:{port}/#token={token}")
        uvicorn.Server(settings).run(sockets=[listener])
