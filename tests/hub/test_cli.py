"""The command line as people use it: processes, exit codes, sentences, JSON."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from connectors.emulation import Clock, serving
from connectors.stripe.emulator import StripeEmulator
from connectors.zentitle.emulator import ZentitleEmulator
from hub import __version__, approvals, asking, drain, wiring
from hub.outbound.filters import Filter
from hub.settings import load
from hub.store import Store, outbound, subjects
from hub.store.migrate import HEAD
from hub.store.schema import approval, audit, subject
from tests.factories import a_ref
from tests.hub.doors import a_config, environ, hub
from tests.records import upgrade
from tests.world import Vendors

OK, ATTENTION, USAGE, CONFIGURATION, NOT_FOUND, NOT_AVAILABLE = range(6)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A hub.toml on closed ports, with a record that is up to date."""
    file = a_config(tmp_path)
    store = Store(f"sqlite:///{tmp_path}/hub.sqlite")
    upgrade(store)
    store.close()
    return file


@dataclass(frozen=True)
class Shop:
    """Emulated vendors, and a hub.toml that names them."""

    config: Path
    vendors: Vendors
    store: Store

    def told(self, *words: str, code: int = OK) -> Any:
        """What `hub ... --json` prints, where it ends with `code`."""
        done = hub(self.config, *words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    clock = Clock()
    with serving(StripeEmulator(clock, livemode=False)) as stripe, serving(ZentitleEmulator(clock)) as zentitle:
        file = a_config(folder, stripe=stripe, zentitle=zentitle)
        file.write_text(file.read_text().replace("rate_per_s = 5000", "livemode = false\nrate_per_s = 5000", 1))
        store = Store(f"sqlite:///{folder}/hub.sqlite")
        upgrade(store)
        vendors = Vendors(stripe, zentitle)
        yield Shop(file, vendors, store)
        vendors.http.close()
        store.close()


def sentence(text: str) -> str:
    """A message to a person, in one line; no traceback."""
    assert "Traceback" not in text
    return re.sub(r"\s+", " ", text)


# setting up


def test_help_and_version_need_no_configuration(tmp_path: Path) -> None:
    told = hub(tmp_path / "nowhere.toml", "--help")
    assert told.returncode == OK
    for word in ("init", "up", "check", "look", "why", "approve", "db", "users"):
        assert re.search(rf"^  {word} ", told.stdout, re.MULTILINE), word
    assert hub(tmp_path / "nowhere.toml", "--version").stdout.strip().endswith(__version__)


def test_init_writes_a_file_and_a_secret_that_is_nobody_else_s(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = hub(tmp_path / "hub.toml", "init", "--folder", str(folder))
    assert done.returncode == OK
    assert "hub check" in done.stdout
    assert stat.S_IMODE((folder / "hub.secret").stat().st_mode) == 0o600
    variables = {"ZENTITLE_CLIENT_SECRET": "s", "STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}
    assert len(load(folder / "hub.toml", variables).secret) >= 32
    secret = (folder / "hub.secret").read_text()
    again = hub(tmp_path / "hub.toml", "init", "--folder", str(folder), "--json")
    assert again.returncode == CONFIGURATION
    assert "there is one already" in json.loads(again.stdout)["error"]
    assert (folder / "hub.secret").read_text() == secret


def test_a_configuration_that_is_not_there_is_a_sentence_and_3(tmp_path: Path) -> None:
    done = hub(tmp_path / "nowhere.toml", "check")
    assert done.returncode == CONFIGURATION
    assert sentence(done.stderr) == f"hub: {tmp_path}/nowhere.toml: there is no such file — `hub init` writes one "


@pytest.mark.parametrize("words", [["check"], ["web"], ["worker"], ["users", "list"]])
def test_a_wrong_configuration_stops_every_command_with_3(config: Path, words: list[str]) -> None:
    config.write_text(config.read_text().replace("[timing]", "[timing]\nsetle = 1"))
    done = hub(config, *words)
    assert done.returncode == CONFIGURATION
    assert f"{config} [timing] setle: no such key" in sentence(done.stderr)


def test_config_names_another_file(config: Path, tmp_path: Path) -> None:
    assert hub(tmp_path / "nowhere.toml", "--config", str(config), "db", "version").returncode == OK


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["look"], ["look", "sub_1", "--dead"], ["look", "--dead", "--json"], ["check", "--nonsense"]],
)
def test_wrong_usage_is_2(config: Path, words: list[str]) -> None:
    done = hub(config, *words)
    assert done.returncode == USAGE
    assert "Usage: " in done.stderr


# the record


def test_an_empty_record_stops_the_start_and_says_how_to_fill_it(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    before = hub(config, "db", "version", "--json")
    assert (before.returncode, json.loads(before.stdout)) == (ATTENTION, {"has": None, "needs": HEAD})
    for words in (["web"], ["worker"], ["clock"]):
        done = hub(config, *words)
        assert done.returncode == CONFIGURATION, words
        assert "hub db upgrade" in sentence(done.stderr)
    assert json.loads(hub(config, "db", "upgrade", "--json").stdout) == {"version": HEAD}
    assert hub(config, "db", "upgrade").returncode == OK
    assert hub(config, "db", "version").returncode == OK


@pytest.mark.parametrize("words", [["db", "version"], ["look", "stripe/subscription/sub_1"], ["why", "x"]])
def test_a_record_that_is_away_is_5(config: Path, words: list[str]) -> None:
    done = hub(config, *words, HUB_DATABASE_URL="postgresql://nobody@127.0.0.1:1/hub")
    assert done.returncode == NOT_AVAILABLE
    assert "the record can't be" in sentence(done.stderr)


def test_a_record_in_a_place_where_none_can_be_is_a_sentence(config: Path) -> None:
    done = hub(config, "db", "version", HUB_DATABASE_URL="sqlite:////proc/nowhere/hub.sqlite")
    assert done.returncode in {CONFIGURATION, NOT_AVAILABLE}
    sentence(done.stderr)


def test_a_database_of_another_kind_is_3(config: Path) -> None:
    done = hub(config, "db", "version", HUB_DATABASE_URL="mysql://127.0.0.1/hub")
    assert done.returncode == CONFIGURATION
    assert "sqlite:///path" in sentence(done.stderr)


def test_a_reference_that_was_used_can_not_be_changed(config: Path) -> None:
    made = wiring.build(load(config, {}))
    wiring.start(made)
    made.store.close()
    config.write_text(config.read_text().replace('kind = "stripe"', 'kind = "stripe"\nref = "other"'))
    done = hub(config, "worker")
    assert done.returncode == CONFIGURATION
    assert "ref was 'stripe'" in sentence(done.stderr)
    assert 'set ref = "stripe"' in sentence(done.stderr)


# check


def test_check_finds_nothing_where_all_is_well(shop: Shop) -> None:
    found = shop.told("check")
    assert {one["level"] for one in found} <= {"ok", "warning"}
    assert {"record", "redis", "catalog"} <= {one["about"] for one in found}
    table = hub(shop.config, "check")
    assert (table.returncode, "Finding" in table.stdout, "Mend" in table.stdout) == (OK, True, True)


def test_check_says_what_is_wrong_and_how_to_mend_it(shop: Shop, tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    row = '\n[[catalog]]\nstripe = "price_1"\nsku = "NO-SUCH"\n'
    config.write_text(shop.config.read_text().replace("sandbox-secret", "wrong") + row)
    done = hub(config, "check", "--json")
    assert done.returncode == ATTENTION
    errors = [one for one in json.loads(done.stdout) if one["level"] == "error"]
    assert any(one["about"].startswith("connections.zentitle") for one in errors)
    assert all(one["mend"] for one in errors)
    config.write_text(shop.config.read_text() + row)
    done = hub(config, "check", "--json")
    assert "sku 'NO-SUCH' is no offering" in [
        one["problem"] for one in json.loads(done.stdout) if one["level"] == "error"
    ]


def test_check_of_vendors_that_are_not_there_is_1_and_a_table(config: Path) -> None:
    done = hub(config, "check")
    assert done.returncode == ATTENTION
    assert "error" in done.stdout
    assert "token_url" in sentence(done.stdout)


# looking, and why


def test_a_look_makes_the_license_and_why_tells_each_field(shop: Shop) -> None:
    id_ = shop.vendors.buy("PRO-100", 5)
    name = f"stripe/subscription/{id_}"
    dry = shop.told("look", name, "--dry-run")
    assert dry["subject"] == name
    assert [row for row in shop.vendors.grants() if row["orderRefId"] == f"stripe:{id_}"] == []
    for _ in range(4):
        done = shop.told("look", name)
        if shop.told("look", id_)["reason"].startswith("nothing to change"):
            break
        time.sleep(1.3)
    assert done["result"] == "settled"
    (grant,) = [row for row in shop.vendors.grants() if row["orderRefId"] == f"stripe:{id_}"]
    assert grant["seatCount"] == 5
    why = shop.told("why", name)
    told = json.dumps(why)
    for word in ("seats_of", "paid_until", "enabled_while", "PRO-100", f"stripe:{id_}"):
        assert word in told
    assert shop.told("why", name, "--at", "2999-12-31")["fields"][0]["value"] == why["fields"][0]["value"]
    before = hub(shop.config, "why", name, "--at", "2020-01-01T12:00")
    assert before.returncode == NOT_FOUND
    assert "had not been made yet then" in before.stderr
    assert hub(shop.config, "why", name, "--at", "yesterday").returncode == USAGE
    people = hub(shop.config, "why", f"stripe:{id_}")
    assert people.returncode == OK
    assert "quantity × seats a unit: 5 × 1" in people.stdout


def test_a_subject_that_nobody_knows_is_4(config: Path) -> None:
    for words in (["look", "sub_9"], ["why", "ent_9"], ["approve", "sub_9"]):
        done = hub(config, *words, "--json")
        assert done.returncode == NOT_FOUND, words
        assert json.loads(done.stdout)["exit_code"] == NOT_FOUND
        assert words[1] in json.loads(done.stdout)["error"]


def test_a_look_at_a_vendor_that_is_not_there_needs_attention(config: Path) -> None:
    done = hub(config, "look", "stripe/subscription/sub_1", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["result"]) == (ATTENTION, "failed")
    assert told["reason"]


def test_a_look_revives_what_is_dead(config: Path) -> None:
    store = Store(load(config, {}).hub.database_url)
    store.write(lambda conn: subjects.mark_due(conn, [a_ref()], cause="event", reason=""))
    store.write(lambda conn: conn.execute(update(subject).values(state="dead", tries=3, next_look=None)))
    assert hub(config, "look", "sub_1").returncode == ATTENTION
    with store.read() as conn:
        row = conn.execute(select(subject)).one()
    assert (row.state, row.tries) == ("due", 1)
    store.close()


def dead(store: Store, count: int) -> None:
    """So many subjects that the hub has given up on."""
    refs = [a_ref(f"sub_{number}") for number in range(count)]
    store.write(lambda conn: subjects.mark_due(conn, refs, cause="event", reason=""))
    store.write(lambda conn: conn.execute(update(subject).values(state="dead", tries=3, next_look=None)))


def test_everything_dead_is_due_again_in_batches_once_its_number_was_confirmed(config: Path) -> None:
    store = Store(load(config, {}).hub.database_url)
    assert "Nothing is dead" in hub(config, "look", "--dead").stdout
    dead(store, 1200)
    assert json.loads(hub(config, "look", "--dead", "--dry-run", "--json").stdout) == {"dead": 1200, "due": 0}
    asked = hub(config, "look", "--dead")  # nobody answers
    assert "1,200 subjects are dead. Look at all of them again?" in asked.stdout
    assert asked.returncode == ATTENTION
    done = hub(config, "look", "--dead", "--yes", "--no-wait", "--json", USER="ida", SUDO_USER="")
    assert json.loads(done.stdout) == {"dead": 1200, "due": 1200}
    assert re.findall("^.* are due$", done.stderr, re.MULTILINE) == [
        f"{number} of 1,200 are due" for number in ("500", "1,000", "1,200")
    ]
    with store.read() as conn:
        assert conn.execute(select(subject.c.state, subject.c.tries).distinct()).one() == ("due", 0)
        batches = conn.execute(select(audit.c.actor, audit.c.detail).order_by(audit.c.id)).all()
    assert [(row.actor, row.detail["subjects"]) for row in batches] == [("ida", 500), ("ida", 500), ("ida", 200)]
    store.close()


def test_how_far_the_looks_have_come_is_told_down_to_none(shop: Shop) -> None:
    made = wiring.build(load(shop.config, {}))
    refs = [a_ref(shop.vendors.buy("PRO-100", 3)), a_ref("sub_gone")]
    shop.store.write(lambda conn: subjects.mark_due(conn, refs, cause="event", reason=""))
    named = subject.c.ref.in_([str(ref) for ref in refs])
    shop.store.write(lambda conn: conn.execute(update(subject).where(named).values(state="dead")))
    _, until = asking.dead(shop.store)
    (asked,) = approvals.ask_for_the_dead(shop.store, until, "ida", "console")
    left = []
    for number, ref in zip(asking.follow(shop.store, patience_s=5), [*refs, None], strict=True):
        left.append(number)
        if ref:
            drain.look_now(made.shop, ref)
    assert left == [2, 1, 0]
    assert asking.came_to(shop.store, asked).settled == 2
    made.store.close()


def test_where_nobody_looks_the_command_says_so(config: Path) -> None:
    store = Store(load(config, {}).hub.database_url)
    dead(store, 1)
    list(approvals.ask_for_the_dead(store, time.time() + 1, "ida", "console"))
    with pytest.raises(TimeoutError, match="nothing was looked at"):
        list(asking.follow(store, patience_s=0))
    store.close()


def test_observing_lists_what_would_be_done_and_does_nothing(shop: Shop) -> None:
    id_ = shop.vendors.buy("PRO-100", 3)
    rows = shop.told("up", "--observe")
    (mine,) = [row for row in rows if row["subject"].endswith(id_)]
    assert mine["would do"]
    assert not [row for row in shop.vendors.grants() if row["orderRefId"].endswith(id_)]


# approving


def test_approve_lists_then_lets_go_and_leaves_an_audit_row(config: Path) -> None:
    store = Store(load(config, {}).hub.database_url)
    store.write(a_held_act)
    assert json.loads(hub(config, "approve", "--json").stdout) == [{"subject": str(a_ref()), "acts": "Disable ent_1"}]
    assert "Disable ent_1" in hub(config, "approve").stdout
    done = hub(config, "approve", "sub_1", "--json", USER="ida", SUDO_USER="")
    assert json.loads(done.stdout) == {"approved": [str(a_ref())]}
    with store.read() as conn:
        assert conn.execute(select(subject.c.state)).scalar_one() == "due"
        row = conn.execute(select(audit)).one()
    assert (row.actor, row.action, row.subject) == ("ida", "approve", str(a_ref()))
    assert "Nothing waits" in hub(config, "approve").stdout
    assert hub(config, "approve", "--all").returncode == OK
    store.close()


def a_held_act(conn: Any) -> None:
    """The guard holds back what a look would do."""
    subjects.mark_due(conn, [a_ref()], cause="event", reason="")
    conn.execute(update(subject).values(state="held", cause="guard", next_look=None))
    acts = [{"action": "Disable", "entitlement": "ent_1"}]
    conn.execute(approval.insert().values(subject=str(a_ref()), acts=acts, state="waiting", created_at=0))


def test_what_is_refused_is_held_with_its_reason_and_needs_a_subject(config: Path) -> None:
    store = Store(load(config, {}).hub.database_url)
    store.write(a_held_act)
    unsaid = hub(config, "approve", "--refuse")
    assert (unsaid.returncode, "say whose acts are refused" in unsaid.stderr) == (2, True)
    done = hub(config, "approve", "sub_1", "--refuse", "--why", "they pay tomorrow", "--json", USER="ida", SUDO_USER="")
    assert json.loads(done.stdout) == {"refused": [str(a_ref())]}
    with store.read() as conn:
        row = conn.execute(select(subject)).one()
        assert conn.execute(select(approval.c.state)).scalar_one() == "refused"
    assert (row.state, row.held_because) == ("held", "ida refused what the guard held back: they pay tomorrow")
    store.close()


# endpoints


def test_an_endpoint_changes_in_what_is_named_alone_and_keeps_its_secret(config: Path) -> None:
    url = "https://8.8.4.4/hub"
    asked = ("--type", "entitlement.*", "--header", "X-Team: one", "--ordered", "--rate", "5")
    made = json.loads(hub(config, "endpoints", "add", url, *asked, "--json").stdout)
    said = ("--type", "", "--connection", "stripe", "--unordered", "--description", "Billing")
    done = hub(config, "endpoints", "change", made["id"], *said, "--json")
    assert json.loads(done.stdout)["changed"] == ["connections", "description", "ordered", "types"]
    assert hub(config, "endpoints", "change", made["id"]).returncode == 2
    store = Store(load(config, {}).hub.database_url)
    with store.read() as conn:
        (one,) = outbound.endpoints(conn)
    store.close()
    assert (one.url, one.filter) == (url, Filter(connections=("stripe",)))
    assert (one.description, one.ordered, one.rate_per_s, one.header_names) == ("Billing", False, 5, ("X-Team",))
    assert len(one.secrets) == 1


def test_an_endpoint_s_rate_is_taken_away_with_0(config: Path) -> None:
    made = json.loads(hub(config, "endpoints", "add", "https://8.8.4.4/hub", "--rate", "5", "--json").stdout)
    assert hub(config, "endpoints", "change", made["id"], "--rate", "0").returncode == 0
    store = Store(load(config, {}).hub.database_url)
    with store.read() as conn:
        assert [one.rate_per_s for one in outbound.endpoints(conn)] == [None]
    store.close()


# users


def test_users_are_added_listed_changed_and_disabled(config: Path) -> None:
    good = "correct horse battery\n"
    assert json.loads(hub(config, "users", "list", "--json").stdout) == {"users": []}
    added = hub(config, "users", "add", "ida", "--password-stdin", "--json", stdin=good)
    assert (added.returncode, json.loads(added.stdout)) == (OK, {"added": "ida"})
    twice = hub(config, "users", "add", "ida", "--password-stdin", stdin=good)
    assert twice.returncode == ATTENTION
    assert "hub users password ida" in sentence(twice.stderr)
    short = hub(config, "users", "password", "ida", "--password-stdin", "--json", stdin="short\n")
    assert (short.returncode, "12 to" in json.loads(short.stdout)["error"]) == (ATTENTION, True)
    assert hub(config, "users", "password", "ida", "--password-stdin", stdin="another good one\n").returncode == OK
    assert hub(config, "users", "disable", "ida").returncode == OK
    assert hub(config, "users", "disable", "nobody").returncode == ATTENTION
    assert "ida" in hub(config, "users", "list").stdout


# what is said


def test_S15_no_message_and_no_help_tells_a_secret(config: Path) -> None:
    for words in (["check"], ["look", "stripe/subscription/sub_1"]):
        done = hub(config, *words)
        for secret in ("a secret of the tests", "whsec_of", "sk_test_sandbox", "sandbox-secret"):
            assert secret not in done.stdout + done.stderr, words


@pytest.mark.parametrize("words", ["--help", "events types", "events types --json"])
def test_a_pipe_that_is_closed_early_ends_quietly(config: Path, words: str) -> None:
    line = f"{sys.executable} -m hub {words} | head -c 1"
    done = subprocess.run(
        line,
        shell=True,
        env=environ(config),
        cwd=config.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


CLOSED = """
import socket, sys
from click.testing import CliRunner
from hub.cli import main
assert CliRunner().invoke(main, ["events", "types"]).exit_code == 0
ours, theirs = socket.socketpair()
theirs.close()
try:
    ours.send(b"a request")
except BrokenPipeError:
    sys.exit(7)
"""


def test_a_vendor_that_hangs_up_on_a_command_is_an_error_and_does_not_end_the_process(config: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CLOSED], env=environ(config), timeout=30, check=False)
    assert done.returncode == 7


def test_a_kind_of_work_that_nobody_does_is_refused(config: Path) -> None:
    done = hub(config, "worker", "deliverys")
    assert done.returncode == USAGE
    assert "'deliverys' is no kind of work; known: looks" in " ".join(done.stderr.split())


# -- seat use


def test_links_and_digests_say_when_there_is_nothing_to_show_yet(config: Path) -> None:
    link = hub(config, "portal-link", "acc_nobody")
    assert (link.returncode, "Renewals page lists the accounts" in link.stderr) == (NOT_FOUND, True)
    assert hub(config, "portal-link", "acc_nobody", "--days", "0").returncode == USAGE
    digest = hub(config, "usage", "digest", "--folder", str(config.parent / "digest"), "--json")
    assert (digest.returncode, json.loads(digest.stdout)["exit_code"]) == (NOT_FOUND, NOT_FOUND)
    assert not (config.parent / "digest").exists()


def test_links_of_a_customer_are_revoked_whether_or_not_there_were_any(config: Path) -> None:
    versions = [
        json.loads(hub(config, "portal-link", "acc_1", "--revoke", "--json").stdout)["version"] for _ in range(2)
    ]
    assert versions == [2, 3]
