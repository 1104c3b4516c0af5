"""The API behind a proxy that asks the gateway: who asks stands in its assertion, which nobody else can sign."""
import os

import jwt
from starlette.responses import JSONResponse

from api import create_api

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:9000")
AUDIENCE = os.environ.get("AUDIENCE", "api://files")
OPEN = {"/ping"}


class FromGateway:
    def __init__(self, app):
        self.app = app
        self.keys = jwt.PyJWKClient(f"{GATEWAY}/.well-known/jwks.json", lifespan=300)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 4401})
        if scope["type"] == "http" and scope["path"] not in OPEN:
            # As WSGI would, so that there is one of it, whoever wrote it how.
            found = [value for name, value in scope["headers"] if name.lower().replace(b"_", b"-") == b"caegis-assertion"]
            try:
                (assertion,) = found
                key = self.keys.get_signing_key_from_jwt(assertion.decode())
                claims = jwt.decode(assertion, key.key, algorithms=["ES256"], audience=AUDIENCE, issuer=GATEWAY)
            except (ValueError, jwt.PyJWTError):
                return await JSONResponse({"error": "This did not come through the gateway."}, 401)(scope, receive, send)
            scope.setdefault("state", {})["user"] = {name: claims.get(name) for name in ("oid", "tid", "name", "scp", "roles")}
        await self.app(scope, receive, send)


app = create_api()
app.add_middleware(FromGateway)
