"""Prints a delivery as JSON: its headers, body and the secrets that signed it (`make test-node`)."""

import json
import secrets
from datetime import UTC, datetime

from hub import signing
from hub.signing import Secret

texts = [signing.secret_of(secrets.token_bytes(32)) for _ in range(2)]
body = json.dumps({"type": "entitlement.changed", "name": "Müller & Söhne ✓"}, ensure_ascii=False)
headers = signing.headers([Secret(text=one) for one in texts], "msg_1", datetime.now(UTC), body)
print(json.dumps({"secrets": texts, "headers": dict(headers), "body": body}))
