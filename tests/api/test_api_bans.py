from __future__ import annotations

import pytest

from api.bans import MAX_BAN_S, MAX_REASON
from sip.bans import BanTableFull


def ban(client, address, **members):
    return client.post("/api/bans", json={"address": address, **members})


def test_bans_come_newest_first(services, client, make) -> None:
    services.banned = {
        "192.0.2.1": make.ban("192.0.2.1", since_at=make.now_at - 60),
        "192.0.2.2": make.ban("192.0.2.2", since_at=make.now_at - 5, until_at=None, reason="scanner", failures=0),
    }
    answer = client.get("/api/bans")
    assert answer.headers["X-Total-Count"] == "2"
    assert answer.json == [
        {
            "address": "192.0.2.2",
            "bannedAt": "2030-03-17T17:46:35.000Z",
            "expiresAt": None,
            "reason": "scanner",
            "failures": 0,
        },
        {
            "address": "192.0.2.1",
            "bannedAt": "2030-03-17T17:45:40.000Z",
            "expiresAt": "2030-03-17T18:45:40.000Z",
            "reason": "10 wrong passwords",
            "failures": 10,
        },
    ]
    assert [each["address"] for each in client.get("/api/bans?limit=1&offset=1").json] == ["192.0.2.1"]


def test_a_ban_for_a_time(services, client) -> None:
    answer = ban(client, "192.0.2.1", duration=90.5, reason="scans at night")
    assert answer.status_code == 201
    assert (answer.json["address"], answer.json["reason"]) == ("192.0.2.1", "scans at night")
    assert answer.json["expiresAt"] == "2030-03-17T17:48:10.500Z"
    assert client.get("/api/bans").json == [answer.json]


@pytest.mark.parametrize("members", [{}, {"duration": None}])
def test_a_ban_without_a_duration_lasts_until_it_is_lifted(services, client, members) -> None:
    answer = ban(client, "192.0.2.1", **members)
    assert (answer.status_code, answer.json["expiresAt"], answer.json["reason"]) == (201, None, "banned by hand")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("2001:DB8:0::1", "2001:db8::/64"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_is_banned_as_the_list_shows_it(services, client, text, source) -> None:
    assert ban(client, text).json["address"] == source
    assert list(services.banned) == [source]


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "pbx.example",
        "192.0.2",
        "192.0.2.0/24",
        "192.0.2.1/64",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "1" * 9000,
    ],
)
def test_what_is_no_address_of_one_device_can_not_be_banned(services, client, address) -> None:
    answer = ban(client, address)
    assert (answer.status_code, answer.json["parameter"]) == (400, "address")
    assert not services.banned


@pytest.mark.parametrize("duration", [0, -1, MAX_BAN_S + 1, "60", True, [60], 10**400])
def test_a_duration_that_is_no_number_of_seconds(services, client, duration) -> None:
    answer = ban(client, "192.0.2.1", duration=duration)
    assert (answer.status_code, answer.json["parameter"]) == (400, "duration")
    assert not services.banned


@pytest.mark.parametrize("reason", ["x" * (MAX_REASON + 1), "two\nlines", "\x1b[31m", "\u202e", 7])
def test_a_reason_that_is_not_one_plain_line(services, client, reason) -> None:
    answer = ban(client, "192.0.2.1", reason=reason)
    assert (answer.status_code, answer.json["parameter"]) == (400, "reason")
    assert not services.banned


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_this_machine_can_not_be_banned(services, client, address) -> None:
    answer = ban(client, address)
    assert answer.status_code == 409
    assert "machine" in answer.json["error"]
    assert not services.banned


@pytest.mark.parametrize(
    ("caller", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::8"),  # the same subscriber
        ("fe80::7%eth0", "fe80::7"),
    ],
)
def test_nobody_bans_himself(services, client, caller, address) -> None:
    answer = client.post("/api/bans", json={"address": address}, environ_overrides={"REMOTE_ADDR": caller})
    assert (answer.status_code, answer.json["error"]) == (409, "You can't ban yourself.")
    assert not services.banned


def test_a_ban_by_hand_is_not_overwritten_and_one_for_wrong_passwords_is(services, client, make) -> None:
    services.banned = {"192.0.2.1": make.ban("192.0.2.1")}
    assert ban(client, "192.0.2.1", duration=60).status_code == 201
    again = ban(client, "192.0.2.1")
    assert (again.status_code, again.json["error"]) == (409, "This address is banned already.")
    assert services.banned["192.0.2.1"].until_at == make.now_at + 60


def test_a_full_list_is_409(services, client) -> None:
    services.fault = BanTableFull("full")
    assert ban(client, "192.0.2.1").status_code == 409


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("%3A%3Affff%3A192.0.2.1", "192.0.2.1"),
        ("2001:db8::/64", "2001:db8::/64"),
        ("2001%3Adb8%3A%3A%2F64", "2001:db8::/64"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%25eth0", "fe80::1"),
    ],
)
def test_a_ban_is_lifted(services, client, make, path, source) -> None:
    services.banned = {source: make.ban(source)}
    answer = client.delete(f"/api/bans/{path}")
    assert (answer.status_code, answer.json["message"]) == (200, f"Lifted the ban of {source}.")
    assert not services.banned
    assert client.delete(f"/api/bans/{path}").status_code == 404


@pytest.mark.parametrize("path", ["nobody", "192.0.2.1%2F24", "%20", "a/b/c"])
def test_lifting_the_ban_of_what_is_no_address_is_400(client, path) -> None:
    answer = client.delete(f"/api/bans/{path}")
    assert (answer.status_code, answer.json["parameter"]) == (400, "address")
