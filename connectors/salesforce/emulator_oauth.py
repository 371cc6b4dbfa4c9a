"""The emulated org's token endpoint: JWT bearer with a real RSA signature, and client credentials."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jwt

LONGEST_S = 300  # an assertion may live five minutes (Salesforce help, "OAuth 2.0 JWT Bearer Flow", read 2026-11)
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


class Denied(Exception):
    """An OAuth error: an object, not the list that the REST API answers with."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        self.body = {"error": error, "error_description": description}
        self.status = status
        super().__init__(description)


@dataclass
class Tokens:
    """Who may log in, and what was given out. `public_keys` by consumer key; tokens live for `life`."""

    consumer_key: str
    consumer_secret: str
    username: str
    org_id: str
    user_id: str
    public_keys: dict[str, str] = field(default_factory=dict)
    life: timedelta = timedelta(hours=2)
    given: dict[str, datetime] = field(default_factory=dict)

    def grant(self, form: Mapping[str, str], basic: tuple[str, str] | None, url: str, now: datetime) -> dict[str, Any]:
        """The answer of the token endpoint; no expires_in and no refresh token, as the vendor has it."""
        match form.get("grant_type"):
            case "urn:ietf:params:oauth:grant-type:jwt-bearer":
                self._check_assertion(form.get("assertion", ""), url)
            case "client_credentials":
                self._check_client(basic or (form.get("client_id", ""), form.get("client_secret", "")))
            case _:
                raise Denied("unsupported_grant_type", "grant type not supported")
        return {
            "access_token": self.give(now),
            "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
            "scope": "api",
            "instance_url": url,
            "id": f"{url}/id/{self.org_id}/{self.user_id}",
            "token_type": "Bearer",
            "issued_at": str(int(now.timestamp() * 1000)),
        }

    def give(self, now: datetime) -> str:
        """A new token."""
        token = f"{self.org_id[:15]}!{secrets.token_urlsafe(48)}"
        self.given[token] = now
        return token

    def good(self, token: str, now: datetime) -> bool:
        """Whether this token still opens the API."""
        return token in self.given and now < self.given[token] + self.life

    def _check_assertion(self, assertion: str, url: str) -> None:
        try:
            issuer = str(jwt.decode(assertion, options={"verify_signature": False}).get("iss", ""))
            key = self.public_keys.get(issuer)
            if key is None:
                raise Denied("invalid_client_id", "client identifier invalid")
            options: Any = {"require": ["iss", "sub", "aud", "exp"]}
            claims = jwt.decode(assertion, key, algorithms=["RS256"], audience=[*AUDIENCES, url], options=options)
        except jwt.ExpiredSignatureError as error:
            raise Denied("invalid_grant", "expired authorization code") from error
        except jwt.InvalidAudienceError as error:
            raise Denied("invalid_grant", "audience is invalid") from error
        except jwt.PyJWTError as error:
            raise Denied("invalid_grant", "invalid assertion") from error
        if claims["sub"] != self.username:
            raise Denied("invalid_grant", "user hasn't approved this consumer")
        if int(claims["exp"]) > time.time() + LONGEST_S + 5:  # simple-salesforce sends a text
            raise Denied("invalid_grant", "assertion expires too far in the future")

    def _check_client(self, given: tuple[str, str]) -> None:
        if given[0] != self.consumer_key:
            raise Denied("invalid_client_id", "client identifier invalid")
        if given[1] != self.consumer_secret:
            raise Denied("invalid_client", "invalid client credentials")
