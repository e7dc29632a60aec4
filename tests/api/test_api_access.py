from __future__ import annotations

import logging
import os
import re
import stat
from dataclasses import replace

import pytest

from api.access import MAX_GUESSES, Gate, is_loopback, load_or_create_token
from api.sessions import SessionBook
from config import Config, ConfigError

TOKEN = "a-token.of_32+characters/xxxxxxx="
EVERYWHERE = replace(Config(), api_host="0.0.0.0")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_addresses(host) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "fe80::1", "::ffff:127.0.0.1", "pbx.example"])
def test_addresses_that_others_can_reach(host) -> None:
    assert not is_loopback(host)


def test_an_api_that_others_can_reach_is_never_open(make_client) -> None:
    with pytest.raises(ValueError, match="token"):
        make_client(token=None, api_host="0.0.0.0")


# On loopback: Host and Origin.


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:3000", "LOCALHOST", "127.0.0.1:3000", "[::1]:3000", "[::1]", "127.0.0.2:1"]
)
def test_hosts_of_this_machine_may_use_the_open_api(make_client, host) -> None:
    client = make_client(api_host="127.0.0.2")
    assert client.get("/api/users", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost, evil.example",
        "localhost:",
        "localhost:x",
        "[::1",
        "user@localhost",
        "192.168.1.5",
        "0.0.0.0",
        "\xff",
    ],
)
@pytest.mark.parametrize("path", ["/api/users", "/healthz", "/nothing"])
def test_dns_rebinding_does_not_reach_the_open_api(client, host, path) -> None:
    answer = client.get(path, headers={"Host": host})
    assert (answer.status_code, answer.mimetype) == (403, "application/problem+json")


def test_http_1_1_without_host_is_400_and_1_0_is_served(client) -> None:
    def status(protocol: str) -> int:
        return client.get("/api/users", environ_overrides={"HTTP_HOST": "", "SERVER_PROTOCOL": protocol}).status_code

    assert (status("HTTP/1.1"), status("HTTP/1.0")) == (400, 200)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("LocalHost", "http://localhost"),
        ("[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_pages_of_the_server_itself_may_use_it(services, client, make, host, origin) -> None:
    services.registered = [make.registration("100")]
    assert client.delete("/api/users/100", headers={"Host": host, "Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost:8080",
        "http://localhost.evil.example",
        "file://",
        "localhost",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_a_foreign_page_can_not_drive_the_open_api(services, client, make, origin, method) -> None:
    services.registered = [make.registration("100")]
    answer = client.open("/api/users/100", method=method, headers={"Host": "localhost:3000", "Origin": origin})
    assert answer.status_code == 403
    assert services.registered


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("method", "mode", "status"),
    [
        ("GET", "no-cors", 403),  # an image or a script of a foreign page
        ("GET", "cors", 403),
        ("GET", "navigate", 200),  # a link to us
        ("DELETE", "navigate", 403),
    ],
)
def test_what_a_foreign_page_embeds_is_refused_and_a_link_is_not(client, site, method, mode, status) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert client.open("/api/users", method=method, headers=headers).status_code == status


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_the_browser_of_the_person_itself_is_let_in(client, site) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
    assert client.get("/api/users", headers=headers).status_code == 200


def test_a_foreign_page_can_not_use_up_the_quota(make_client) -> None:
    client = make_client(api_rate_limit=1)
    for _ in range(3):
        assert client.get("/api/users", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/users").status_code == 200


# Elsewhere: the token.


@pytest.fixture
def guarded(make_client):
    return make_client(token=TOKEN, api_host="0.0.0.0")


@pytest.mark.parametrize("path", ["/api/users", "/nothing", "/api/openapi.json"])
def test_without_a_token_nothing_is_told(guarded, path) -> None:
    answer = guarded.get(path)
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sipserver"'
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", ["/", "/web/js/main.js", "/api/docs", "/api/docs/ui/swagger-ui.css"])
def test_the_page_itself_holds_no_secret_and_is_open(guarded, path) -> None:
    answer = guarded.get(path)
    assert (answer.status_code, TOKEN in answer.text) == (200, False)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert guarded.post(path).status_code == 401


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN}"])
def test_the_token_opens(guarded, given) -> None:
    assert guarded.get("/api/users", headers={"Authorization": given}).status_code == 200


@pytest.fixture
def named(make_client, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Office-NAS")
    return make_client(
        token=TOKEN, api_host="0.0.0.0", server_address="PBX.example", api_hosts=("proxy.example", "other.example")
    )


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.5",
        "192.168.1.5:3000",
        "[2001:db8::5]:3000",
        "localhost:3000",
        "pbx.example",
        "proxy.example:8443",
        "OTHER.example",
        "office-nas:3000",
        "office-nas.local",
    ],
)
def test_hosts_of_an_api_with_a_token(named, host) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": host}
    assert named.get("/api/users", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "pbx.example.evil.example", "192.168.1.5.evil.example", "[::1", "::1"]
)
def test_dns_rebinding_does_not_reach_an_api_with_a_token(named, host) -> None:
    answer = named.get("/api/users", headers={"Authorization": f"Bearer {TOKEN}", "Host": host})
    assert answer.status_code == 403
    assert "API_HOSTS" in answer.json["detail"]


def test_a_name_of_its_own_makes_the_token_needed_on_loopback_too(make_client, tmp_path) -> None:
    behind_proxy = replace(Config(), api_hosts=("pbx.example",), data_dir=tmp_path)
    assert load_or_create_token(behind_proxy) is not None
    with pytest.raises(ValueError, match="token"):
        make_client(token=None, api_hosts=("pbx.example",))
    client = make_client(token=TOKEN, api_hosts=("pbx.example",))
    headers = {"Host": "pbx.example", "X-Forwarded-For": "192.0.2.7"}
    assert client.get("/api/users", headers=headers).status_code == 401
    assert client.get("/api/users", headers={**headers, "Authorization": f"Bearer {TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    "header", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
)
def test_the_open_api_serves_nobody_behind_a_proxy(client, header) -> None:
    answer = client.get("/api/users", headers={header: "192.0.2.7"})
    assert answer.status_code == 403
    assert "API_HOSTS" in answer.json["detail"]


@pytest.mark.parametrize(
    "given",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer \xe9\xff", "x"],
)
def test_a_wrong_token_is_401_and_logged_without_the_token(guarded, caplog, given) -> None:
    answer = guarded.get("/api/users", headers={"Authorization": given})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "wrong API token from 127.0.0.1"
    ]


def test_guesses_at_the_token_are_rate_limited(make_client) -> None:
    client = make_client(token=TOKEN, api_host="0.0.0.0", api_rate_limit=2)
    statuses = [client.get("/api/users", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(3)]
    assert statuses == [401, 401, 429]


def guess(client, token: str, address: str = "192.0.2.9") -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return client.get("/api/users", headers=headers, environ_overrides={"REMOTE_ADDR": address}).status_code


def test_after_too_many_wrong_tokens_not_even_the_right_one_is_looked_at(make_client, clock) -> None:
    client = make_client(token=TOKEN, api_host="0.0.0.0", api_rate_limit=0)
    assert [guess(client, f"wrong-{n}") for n in range(MAX_GUESSES)] == [401] * MAX_GUESSES
    assert guess(client, TOKEN) == 429
    assert guess(client, TOKEN, "192.0.2.10") == 200
    clock.now += 60
    assert guess(client, TOKEN) == 200


def test_requests_without_a_token_are_no_guesses(make_client) -> None:
    client = make_client(token=TOKEN, api_host="0.0.0.0", api_rate_limit=0)
    for _ in range(MAX_GUESSES + 1):
        assert client.get("/api/users", environ_overrides={"REMOTE_ADDR": "192.0.2.9"}).status_code == 401
    assert guess(client, TOKEN) == 200


def test_health_needs_no_token(guarded) -> None:
    assert guarded.get("/healthz").status_code == 200


def test_the_token_does_not_excuse_a_foreign_page(guarded) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "192.0.2.1:3000", "Origin": "https://evil.example"}
    assert guarded.get("/api/users", headers=headers).status_code == 403
    headers["Origin"] = "https://192.0.2.1:3000"
    assert guarded.get("/api/users", headers=headers).status_code == 200


def test_on_loopback_a_configured_token_is_not_asked_for(make_client) -> None:
    assert make_client(api_token=TOKEN).get("/api/users").status_code == 200


# Where the token comes from.


def test_no_token_on_loopback(tmp_path) -> None:
    config = replace(Config(), api_host="::1", api_token=TOKEN, data_dir=tmp_path)
    assert load_or_create_token(config) is None
    assert list(tmp_path.iterdir()) == []


def test_the_configured_token_wins_and_no_file_is_made(tmp_path) -> None:
    assert load_or_create_token(replace(EVERYWHERE, api_token=TOKEN, data_dir=tmp_path)) == TOKEN
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_made_once_and_kept_for_its_owner_alone(tmp_path, caplog) -> None:
    config = replace(EVERYWHERE, data_dir=tmp_path / "new" / "data")
    with caplog.at_level(logging.DEBUG, "api"):
        token = load_or_create_token(config)
    assert token is not None
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    path = tmp_path / "new" / "data" / "api-token"
    assert path.read_text() == token + "\n"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_token(config) == token
    assert [each.name for each in path.parent.iterdir()] == ["api-token"]
    assert str(path) in caplog.text
    assert token not in caplog.text
    Gate(config, token, SessionBook())


def test_two_servers_make_two_tokens(tmp_path) -> None:
    first = load_or_create_token(replace(EVERYWHERE, data_dir=tmp_path / "a"))
    assert load_or_create_token(replace(EVERYWHERE, data_dir=tmp_path / "b")) != first


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_token_file_that_others_can_read_is_closed(tmp_path, caplog) -> None:
    path = tmp_path / "api-token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    assert load_or_create_token(replace(EVERYWHERE, data_dir=tmp_path)) == TOKEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "others could read" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"two words of thirty-two letters", b"\xff" * 40])
def test_a_token_file_that_holds_none_stops_the_start_and_stays(tmp_path, content) -> None:
    path = tmp_path / "api-token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"api-token: holds no usable token") as caught:
        load_or_create_token(replace(EVERYWHERE, data_dir=tmp_path))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_data_directory_that_can_not_be_made_stops_the_start(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^DATA_DIR=.*API_TOKEN$"):
        load_or_create_token(replace(EVERYWHERE, data_dir=tmp_path / "file" / "data"))


def test_without_a_data_directory_the_token_lives_in_memory(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    config = replace(EVERYWHERE, data_dir=type(tmp_path)(":memory:"))
    token = load_or_create_token(config)
    assert token
    assert load_or_create_token(config) != token
    assert list(tmp_path.iterdir()) == []
    assert "API_TOKEN" in caplog.text
    assert token not in caplog.text
