"""A consumer of the hub's stream: verifies each event and keeps it once."""

import os
import sqlite3
from contextlib import closing

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # `hub endpoints add` prints it, once
inbox = os.environ.get("INBOX", "inbox.sqlite")


@app.post("/hub")
def receive() -> tuple[str, int]:
    """204 once the event is kept. An error here is a 500, and the hub sends the event again."""
    try:
        event = webhook.verify(request.get_data(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return "not signed by the hub", 401
    with closing(sqlite3.connect(inbox)) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS event (id TEXT PRIMARY KEY, type TEXT, body TEXT, times INTEGER)")
        row = (event["id"], event["type"], request.get_data(as_text=True))
        db.execute("INSERT INTO event VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1", row)
    return "", 204
