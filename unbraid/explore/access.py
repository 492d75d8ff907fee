"""Who may ask the page: a browser that has opened it, not another page in the same browser."""

from typing import Any
from urllib.parse import urlsplit


def own_page_only(host: str) -> list[Any]:
    """Middleware that refuses requests for other host names (DNS rebinding) and requests from other pages."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    hosts = ["*"] if host == "0.0.0.0" else ["127.0.0.1", "localhost", host]
    return [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(_SameOrigin)]


class _SameOrigin:
    """ASGI: 403 where the browser says that another page asks; it would send an upload without asking first."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        headers = dict(scope.get("headers", ()))
        origin, host = (headers.get(name, b"").decode("latin-1") for name in (b"origin", b"host"))
        answer = self.app if not origin or urlsplit(origin).netloc == host else PlainTextResponse("Other origin", 403)
        await answer(scope, receive, send)
