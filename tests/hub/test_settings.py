"""Every mistake in hub.toml stops the start, and says file, key and what was expected; values are never told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub import settings, wiring
from hub.errors import ConfigurationError

CANARY = "canary-0123456789-0123456789-0123456789"
GOOD = f"""
[hub]
secret = "{CANARY}"
database_url = "sqlite:///{{folder}}/hub.sqlite"

[policy]
grace_days = 7

[timing]
settle = 1

[connections.zentitle]
kind = "zentitle"
base_url = "http://127.0.0.1:1"
token_url = "http://127.0.0.1:1/token"
tenant_id = "t_1"
client_id = "hub"
client_secret = "{CANARY}-client"

[connections.stripe]
kind = "stripe"
api_key = "sk_test_{CANARY}"
webhook_secrets = ["whsec_{CANARY}"]
livemode = false
base_url = "http://127.0.0.1:1"

[[catalog]]
stripe = "price_1"
sku = "PRO-100"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    target = tmp_path / "hub.toml"
    target.write_text(GOOD.format(folder=tmp_path))
    return target


def changed(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


def mistake(file: Path, environ: dict[str, str] | None = None) -> ConfigurationError:
    """What stops the start with this file."""
    with pytest.raises(ConfigurationError) as caught:
        wiring.build(settings.load(file, environ or {}))
    return caught.value


def test_a_good_file_starts(file: Path) -> None:
    found = settings.load(file, {})
    assert found.hub.port == 8000
    assert found.policy.guard_share == 0.005
    assert found.timing.second_look == 120
    assert wiring.build(found).licensing.name == "zentitle"


MISTAKES = [
    # [hub]
    (f'secret = "{CANARY}"', 'secret = "too-short"', "[hub]", "32 or more"),
    (f'secret = "{CANARY}"\n', "", "[hub] secret", "required"),
    ("[hub]\n", "[hub]\nport = 70000\n", "[hub] port", "65535"),
    ("[hub]\n", '[hub]\nport = "eight"\n', "[hub] port", "integer"),
    ("[hub]\n", "[hub]\nthreads = 0\n", "[hub] threads", "greater than or equal to 1"),
    ("[hub]\n", '[hub]\nconsole = "closed"\n', "[hub]", '"login" or "open"'),
    ("[hub]\n", '[hub]\npublic_ur = "x"\n', "[hub] public_ur", "public_url"),
    ("sqlite:///", "mysql://", "", "sqlite:///path"),
    # [policy], [timing]
    ("grace_days = 7", "grace_days = -1", "[policy] grace_days", "greater than or equal to 0"),
    ("grace_days = 7", "grace_days = 366", "[policy] grace_days", "365"),
    ("grace_days = 7", "grace_days = 7.5", "[policy] grace_days", "integer"),
    ("grace_days = 7", "grace = 7", "[policy] grace", "grace_days"),
    ("grace_days = 7", "guard_min = -2", "[policy] guard_min", "-1"),
    ("grace_days = 7", "guard_share = 1.5", "[policy] guard_share", "less than or equal to 1"),
    ("settle = 1", "settle = -1", "[timing] settle", "greater than or equal to 0"),
    ("settle = 1", "tick = 0", "[timing] tick", "greater than 0"),
    ("settle = 1", "lease = 0.5", "[timing] lease", "greater than or equal to 1"),
    ("settle = 1", 'sweep = "hourly"', "[timing] sweep", "number"),
    ("settle = 1", "setle = 1", "[timing] setle", "settle"),
    # tables
    ("[policy]\n", "[polcy]\n", "", "[polcy]"),
    ("[[catalog]]", "[catalog]", "", "[[catalog]]"),
    ("[hub]\n", "[hub\n", "", "TOML"),
    # connections
    (
        'kind = "stripe"',
        'kind = "strpe"',
        "[connections.stripe]",
        "known: stripe, zentitle, fastspring, salesforce, hubspot",
    ),
    ('kind = "stripe"\n', "", "[connections.stripe]", 'kind = "stripe"'),
    ("[connections.stripe]", "[connections.Stripe]", "[connections]", "a-z, 0-9 and -"),
    ("[connections.stripe]", '[connections."a b"]', "[connections]", "a-z, 0-9 and -"),
    ("[connections.stripe]", '[connections."stripe/eu"]', "[connections]", "a-z, 0-9 and -"),
    ("[connections.stripe]", "[connections.stripe-in-europe]", "[connections.stripe-in-europe]", "must set ref"),
    ("livemode = false", 'ref = "UPPER"', "[connections.stripe] ref", "a-z0-9-"),
    ("livemode = false", 'ref = "zentitle"', "[connections]", "give one another ref"),
    ("livemode = false", "livmode = false", "[connections.stripe] livmode", "livemode"),
    ("livemode = false", 'livemode = "maybe"', "[connections.stripe] livemode", "boolean"),
    ("livemode = false", "rate_per_s = 0", "[connections.stripe] rate_per_s", "greater than 0"),
    ("livemode = false", "body_limit = 9999999", "[connections.stripe] body_limit", "5242880"),
    (f'webhook_secrets = ["whsec_{CANARY}"]', "webhook_secrets = []", "[connections.stripe] webhook_secrets", "1 item"),
    (f'webhook_secrets = ["whsec_{CANARY}"]\n', "", "[connections.stripe] webhook_secrets", "required"),
    (f'"whsec_{CANARY}"', f'" whsec_{CANARY}"', "[connections.stripe] webhook_secrets", "blanks around"),
    ('tenant_id = "t_1"\n', "", "[connections.zentitle] tenant_id", "required"),
    ("http://127.0.0.1:1/token", "http://acme.example.com/token", "connections.zentitle.token_url", "https"),
    ('kind = "zentitle"', 'kind = "stripe"', "[connections.zentitle] token_url", "no such key; known: account"),
    # catalog
    ('stripe = "price_1"\n', "", "[[catalog]] row 1", 'stripe = "price_…"'),
    ('stripe = "price_1"', "stripe = 1", "[[catalog]] row 1", "as text"),
    ('stripe = "price_1"', 'strpe = "price_1"', "[[catalog]] row 1", "known: stripe"),
    ('sku = "PRO-100"\n', "", "[[catalog]] row 1", "one of sku, bundle, adds_to, maintains is required, found none"),
    ('sku = "PRO-100"', 'sku = "A"\nadds_to = "B"', "[[catalog]] row 1", "found sku and adds_to"),
    ('sku = "PRO-100"', 'bundle = ["A"]', "[[catalog]] row 1 bundle", "at least 2"),
    ('sku = "PRO-100"', 'bundle = ["A", "A"]', "[[catalog]] row 1", "names an offering twice"),
    ('sku = "PRO-100"', 'sku = "A"\nseats = 5\nseats_per_unit = 2', "[[catalog]] row 1", "keep one"),
    ('sku = "PRO-100"', 'sku = "A"\nseats = 0', "[[catalog]] row 1 seats", "greater than or equal to 1"),
    ('sku = "PRO-100"', 'maintains = "A"\nseats = 2', "[[catalog]] row 1", "takes no seats"),
    ('sku = "PRO-100"', 'adds_to = "A"\noverdraft = 2', "[[catalog]] row 1", "belongs to the row that sells"),
    ('sku = "PRO-100"', 'sku = "A"\nfrom = "soon"', "[[catalog]] row 1 from", "date"),
    ('sku = "PRO-100"', 'sku = "A"\nfrom = 2026-02-01\nuntil = 2026-02-01', "[[catalog]] row 1", "later than from"),
    ('sku = "PRO-100"', 'sku = "A"\nwhen = ""', "[[catalog]] row 1 when", "at least 1 character"),
    (
        'sku = "PRO-100"',
        'sku = "A"\nwhen = "line.quantity"',
        "hub.toml [[catalog]] row 1",
        "true or false was expected",
    ),
    ('sku = "PRO-100"', 'sku = ""', "[[catalog]] row 1", "at least 1 character"),
    ('sku = "PRO-100"', 'sku = "PRO-100"\nseats_per_unit = 0', "[[catalog]] row 1", "greater than or equal to 1"),
    ('sku = "PRO-100"', 'sku = "PRO-100"\noverdraft = -1', "[[catalog]] row 1", "greater than or equal to 0"),
    ('sku = "PRO-100"', 'sku = "PRO-100"\n[[catalog]]\nstripe = "price_1"\nsku = "B"', "[[catalog]] row 2", "two rows"),
]


@pytest.mark.parametrize(
    ("old", "new", "where", "expected"), MISTAKES, ids=[repr(row[1].strip()[:40]) for row in MISTAKES]
)
def test_a_mistake_says_where_it_stands_and_what_was_expected(
    file: Path, old: str, new: str, where: str, expected: str
) -> None:
    error = mistake(changed(file, old, new))
    assert where in str(error)
    assert expected in str(error)
    assert CANARY not in f"{error!r} {error} {error.__cause__!r} {error.__context__!r}"


def test_S15_the_repr_of_settings_tells_no_secret_of_the_hub(file: Path) -> None:
    assert CANARY not in repr(settings.load(file, {}).hub)


def test_S15_the_repr_of_settings_tells_no_secret_of_a_connection(file: Path) -> None:
    assert CANARY not in repr(settings.load(file, {}))


def test_no_connection_or_two_that_license_stop_the_start(file: Path) -> None:
    second = GOOD[GOOD.index("[connections.zentitle]") : GOOD.index("[connections.stripe]")]
    file.write_text(file.read_text() + second.replace("connections.zentitle", "connections.other"))
    assert "exactly one connection must license, found zentitle, other" in str(mistake(file))


def test_a_file_that_is_not_there_says_what_makes_one(tmp_path: Path) -> None:
    error = mistake(tmp_path / "nowhere.toml")
    assert str(error) == f"{tmp_path}/nowhere.toml: there is no such file — `hub init` writes one"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "not readable" in str(mistake(tmp_path))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_bytes(b'[hub]\nsecret = "\xff"\n')
    assert "not readable as TOML" in str(mistake(tmp_path / "hub.toml"))


# env: and file:


def test_a_value_is_read_from_the_environment(file: Path) -> None:
    changed(file, f'client_secret = "{CANARY}-client"', 'client_secret = "env:THE_SECRET"')
    found = settings.load(file, {"THE_SECRET": " from outside\n"})
    assert found.connections["zentitle"]["client_secret"] == "from outside"


@pytest.mark.parametrize("environ", [{}, {"THE_SECRET": ""}, {"THE_SECRET": "  "}])
def test_a_variable_that_is_not_set_is_named_with_its_key(file: Path, environ: dict[str, str]) -> None:
    changed(file, f'"whsec_{CANARY}"', '"env:THE_SECRET"')
    error = mistake(file, environ)
    assert error.where == f"{file} connections.stripe.webhook_secrets[0]"
    assert error.problem == "the environment variable THE_SECRET is not set"
    assert error.mend == "export THE_SECRET=…"


def secret_file(file: Path, mode: int = 0o600) -> Path:
    changed(file, f'secret = "{CANARY}"', 'secret = "file:hub.secret"')
    target = file.parent / "hub.secret"
    target.write_text(CANARY + "\n")
    target.chmod(mode)
    return target


def test_a_value_is_read_from_a_file_beside_hub_toml(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_file(file)
    monkeypatch.chdir("/")
    assert settings.load(file, {}).secret == CANARY.encode()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o601])
def test_a_secret_file_that_others_may_read_stops_the_start(file: Path, mode: int) -> None:
    secret_file(file, mode)
    error = mistake(file)
    assert (error.where, error.problem) == (f"{file} hub.secret", "hub.secret may be read by others")
    assert error.mend == "chmod 600 hub.secret"


def test_a_secret_file_that_is_not_there_is_named(file: Path) -> None:
    secret_file(file).unlink()
    assert str(mistake(file)) == f"{file} hub.secret: hub.secret can't be read: No such file or directory"


# HUB_*


def test_HUB_variables_override_the_file(file: Path) -> None:
    environ = {
        "HUB_DATABASE_URL": "sqlite:///elsewhere.sqlite",
        "HUB_REDIS_URL": "redis://127.0.0.1:9/0",
        "HUB_HOST": "127.0.0.2",
        "HUB_PORT": "8123",
    }
    found = settings.load(file, environ).hub
    assert (found.database_url, found.redis_url) == (environ["HUB_DATABASE_URL"], environ["HUB_REDIS_URL"])
    assert (found.host, found.port) == ("127.0.0.2", 8123)


def test_HUB_CONFIG_names_the_file(file: Path) -> None:
    assert settings.load(None, {"HUB_CONFIG": str(file)}).path == file


def test_a_wrong_HUB_PORT_is_told(file: Path) -> None:
    assert "[hub] port" in str(mistake(file, {"HUB_PORT": "eighty"}))


def test_settings_can_not_be_changed(file: Path) -> None:
    with pytest.raises(Exception, match="frozen"):
        settings.load(file, {}).hub.port = 1  # type: ignore[misc]


def test_the_file_that_hub_init_writes_is_good_once_its_variables_are_set(tmp_path: Path) -> None:
    template = Path(settings.__file__).parent / "hub.toml.template"
    (tmp_path / "hub.toml").write_text(template.read_text())
    (tmp_path / "hub.secret").write_text(CANARY)
    (tmp_path / "hub.secret").chmod(0o600)
    environ = {"ZENTITLE_CLIENT_SECRET": "s", "STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_1"}
    url = f"sqlite:///{tmp_path}/hub.sqlite"
    found = wiring.build(settings.load(tmp_path / "hub.toml", environ | {"HUB_DATABASE_URL": url}))
    assert sorted(found.connectors) == ["stripe", "zentitle"]
