"""What the server lets in: the holder of the token, on this machine's name, for files of this project.

The token comes once in the address that `burnish serve` prints and then lives in a cookie that scripts cannot read.
Requests that change anything must carry it in a header as well, which no other site can make a browser send.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

COOKIE = "burnish_token"
HEADER = "X-Burnish-Token"
MAX_BODY = 1 << 20  # bytes; options of a job are a few thousand

# Mol* compiles WebAssembly and starts workers from blobs; everything else comes from this server only.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "frame-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
# A report of a job is a page of our own making without scripts: it gets none, whatever stands in its text. A click on
# one of its residues opens this page, which needs the cookie (hence the origin) and its own scripts (hence the escape).
REPORT_SANDBOX = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'; "
    f"form-action 'none'; sandbox {REPORT_SANDBOX}"
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Next = Callable[[Request], Awaitable[Response]]


class Gate:
    """Middleware that answers every request without the token, or for another host, with a refusal."""

    def __init__(self, token: str, hosts: frozenset[str]) -> None:
        self._token = token
        self._hosts = hosts

    async def __call__(self, request: Request, call_next: Next) -> Response:
        response = self._refusal(request) or self._sign_in(request) or await call_next(request)
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: Request) -> Response | None:
        host = (request.headers.get("host") or "").rsplit(":", 1)[0]
        if host not in self._hosts:
            return PlainTextResponse(f"This server does not answer for the host {host!r}.", 421)
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in request.headers:
            return PlainTextResponse(f"Requests of more than {MAX_BODY} bytes are not taken.", 413)
        if request.method in ("GET", "HEAD"):
            given = request.query_params.get("token") or request.cookies.get(COOKIE)
        else:
            given = request.headers.get(HEADER)
            if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                return PlainTextResponse("Requests from other sites are not taken.", 403)
        if not given or not hmac.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("Open the address that `burnish serve` printed: it carries the token.", 403)
        return None

    def _sign_in(self, request: Request) -> Response | None:
        """Move a token that came in the address into the cookie, so that it does not stay in the history."""
        if "token" not in request.query_params or request.method != "GET":
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="strict", path="/")
        return response


def resolve_inside(root: Path, relative: str) -> Path:
    """The file of that name inside `root`.

    Raises
    ------
    HTTPException : 404 for anything that is no file, is hidden, or lies outside, also by way of a link.
    """
    hidden = any(part.startswith(".") for part in Path(relative).parts)
    path = root if "\0" in relative else (root / relative).resolve()
    if hidden or not path.is_relative_to(root.resolve()) or not path.is_file():
        raise HTTPException(404, "no such file in this project")
    return path
