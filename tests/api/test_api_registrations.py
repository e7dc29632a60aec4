from __future__ import annotations

from unittest.mock import ANY

import pytest


def test_one_entry_per_number_with_the_newest_contact_at_the_top(services, client, make) -> None:
    desk = make.contact(uri="sip:100@192.0.2.9", address="192.0.2.9", port=5070, user_agent="desk")
    mobile = make.contact(uri="sip:100@192.0.2.8;ob", address="192.0.2.8", transport="tcp", behind_nat=True)
    services.registered = [make.registration("100", mobile, desk, count=7)]
    [user] = client.get("/api/users").json
    assert (user["number"], user["status"], user["registrationCount"]) == ("100", "REGISTERED", 7)
    assert (user["uri"], user["address"], user["transport"]) == ("sip:100@192.0.2.8;ob", "192.0.2.8", "tcp")
    assert [each["address"] for each in user["contacts"]] == ["192.0.2.8", "192.0.2.9"]
    assert [each["behindNat"] for each in user["contacts"]] == [True, False]


def test_a_contact_of_another_server_names_it(services, client, make) -> None:
    services.registered = [make.registration("100", make.contact(), make.contact(server="two"))]
    [user] = client.get("/api/users").json
    assert [each.get("server") for each in user["contacts"]] == [None, "two"]
    assert "server" not in user["contacts"][0]


def test_times_of_a_registration(services, client, make) -> None:
    services.registered = [make.registration("100")]
    [user] = client.get("/api/users").json
    assert user["registeredAt"] == "2030-03-17T17:36:40.000Z"
    assert user["expiresAt"] == "2030-03-17T18:36:40.000Z"
    assert user["lastSeen"] == "2030-03-17T17:46:35.000Z"
    assert user["expires"] == 3600


def test_users_come_newest_first_and_all_of_them(services, client, make) -> None:
    services.registered = [
        make.registration(str(number), make.contact(registered_at=make.now_at - age))
        for age, number in enumerate(range(200, 100, -1))
    ]
    answer = client.get("/api/users")
    assert [user["number"] for user in answer.json] == [str(number) for number in range(200, 100, -1)]
    assert answer.headers["X-Total-Count"] == "100"
    assert "Link" not in answer.headers


@pytest.mark.parametrize(("within", "expected"), [("", ["101"]), ("?within=30", ["101"]), ("?within=0", [])])
def test_expiring_within_minutes(services, client, make, within, expected) -> None:
    services.registered = [
        make.registration("100", make.contact(expires_at=make.now_at + 31 * 60)),
        make.registration("101", make.contact(expires_at=make.now_at + 29.5 * 60)),
    ]
    answer = client.get(f"/api/users/expiring{within}").json
    assert [entry["number"] for entry in answer] == expected


def test_expiring_lists_every_binding_the_next_to_run_out_first(services, client, make) -> None:
    services.registered = [
        make.registration("100", make.contact(expires_at=make.now_at + 90, address="192.0.2.1")),
        make.registration(
            "101",
            make.contact(expires_at=make.now_at + 120, address="192.0.2.2"),
            make.contact(expires_at=make.now_at - 1, address="192.0.2.3"),
        ),
    ]
    answer = client.get("/api/users/expiring?within=2.5").json
    assert [(entry["number"], entry["address"], entry["minutesUntilExpiry"]) for entry in answer] == [
        ("101", "192.0.2.3", 0),
        ("100", "192.0.2.1", 1.5),
        ("101", "192.0.2.2", 2),
    ]


@pytest.mark.parametrize("value", ["-1", "abc", "", "1e3", "nan", "inf", "%D9%A1", "1000001"])
def test_within_that_is_no_number_of_minutes(client, value) -> None:
    answer = client.get(f"/api/users/expiring?within={value}")
    assert (answer.status_code, answer.json["parameter"]) == (400, "within")
    assert "within" in answer.json["error"]


def test_delete_removes_every_binding(services, client, make) -> None:
    services.registered = [
        make.registration("100", make.contact(), make.contact(port=5070)),
        make.registration("101"),
    ]
    answer = client.delete("/api/users/100")
    assert (answer.status_code, answer.json) == (200, {"message": "Removed 2 registrations of 100.", "removed": 2})
    assert [user["number"] for user in client.get("/api/users").json] == ["101"]
    assert client.delete("/api/users/101").json["message"] == "Removed 1 registration of 101."


@pytest.mark.parametrize("number", ["100", "999", "nobody", "%2F"])
def test_delete_of_a_number_that_is_not_registered_is_404(client, number) -> None:
    answer = client.delete(f"/api/users/{number}")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_clear_users_in_development(services, make_client, make) -> None:
    services.registered = [make.registration("100", make.contact(), make.contact(port=5070))]
    client = make_client(app_env="development")
    assert client.post("/api/admin/clear-users").json == {"message": "Removed 2 registrations.", "cleared": 2}
    assert client.get("/api/users").json == []


@pytest.mark.parametrize("path", ["/api/admin/clear-users", "/api/admin/clear-calls"])
def test_admin_routes_do_not_exist_in_production(services, client, make, path) -> None:
    services.registered, services.live = [make.registration("100")], [make.call("a")]
    assert client.post(path).status_code == 404
    assert client.get(path).status_code == 404
    assert services.registered
    assert services.live


def test_failed_registrations_have_all_that_helps(services, client, make) -> None:
    services.failures = [make.failure()]
    assert client.get("/api/registrations/failures").json == [
        {
            "number": "100",
            "address": "192.0.2.10",
            "transport": "udp",
            "userAgent": "baresip 4.0",
            "statusCode": 401,
            "reason": "the password is wrong",
            "firstAt": "2030-03-17T17:45:00.000Z",
            "lastAt": "2030-03-17T17:46:30.000Z",
            "count": 3,
            "explanation": ANY,
        }
    ]


def test_failed_registrations_are_paged_in_the_order_of_the_service(services, client, make) -> None:
    services.failures = [make.failure(number=str(number)) for number in range(200)]
    answer = client.get("/api/registrations/failures")
    assert [each["number"] for each in answer.json] == [str(number) for number in range(50)]
    assert answer.headers["X-Total-Count"] == "200"
    assert "offset=50" in answer.headers["Link"]
    assert [each["number"] for each in client.get("/api/registrations/failures?limit=2&offset=199").json] == ["199"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("extension=101", ["101", "101"]),
        ("extension=nobody", []),
        ("since=2030-03-17T17:46:30Z", ["100", "101"]),
        ("since=2030-03-17T17:46:30.001Z", ["100"]),
        ("since=2030-03-17&extension=101&limit=1", ["101"]),
    ],
)
def test_failed_registrations_by_number_and_time(services, client, make, query, expected) -> None:
    services.failures = [
        make.failure(number="100", last_at=make.now_at),
        make.failure(number="101", last_at=make.now_at - 10),
        make.failure(number="101", last_at=make.now_at - 3600),
    ]
    answer = client.get(f"/api/registrations/failures?{query}")
    assert [each["number"] for each in answer.json] == expected


@pytest.mark.parametrize("query", ["since=yesterday", "extension=", "limit=0"])
def test_failed_registrations_refuse_what_they_can_not_use(client, query) -> None:
    answer = client.get(f"/api/registrations/failures?{query}")
    assert (answer.status_code, answer.json["parameter"]) == (400, query.partition("=")[0])
