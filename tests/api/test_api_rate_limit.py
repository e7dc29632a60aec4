from __future__ import annotations

import threading

import pytest

from api.rate_limit import RateLimiter


def test_the_window_opens_with_the_first_request_and_closes_a_minute_later() -> None:
    limiter = RateLimiter(2)
    first = limiter.take("192.0.2.1", 100.0)
    assert (first.allowed, first.limit, first.remaining, first.reset_s) == (True, 2, 1, 60)
    second = limiter.take("192.0.2.1", 130.5)
    assert (second.allowed, second.remaining, second.reset_s) == (True, 0, 30)
    third = limiter.take("192.0.2.1", 159.9)
    assert (third.allowed, third.remaining, third.reset_s) == (False, 0, 1)
    assert limiter.take("192.0.2.1", 160.0).remaining == 1


def test_waiting_retry_after_seconds_is_enough() -> None:
    limiter = RateLimiter(1)
    limiter.take("192.0.2.1", 0.25)
    refused = limiter.take("192.0.2.1", 10.9)
    assert refused.headers()["Retry-After"] == "50"
    assert limiter.take("192.0.2.1", 10.9 + 50).allowed


def test_refused_requests_do_not_lengthen_the_wait() -> None:
    limiter = RateLimiter(1)
    assert limiter.take("192.0.2.1", 0.0).allowed
    assert not any(limiter.take("192.0.2.1", second).allowed for second in range(1, 60))
    assert limiter.take("192.0.2.1", 60.0).allowed


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("", "192.0.2.1", False),
    ],
)
def test_who_shares_a_quota(one, other, same) -> None:
    limiter = RateLimiter(1)
    assert limiter.take(one, 0.0).allowed
    assert limiter.take(other, 0.0).allowed is not same


def test_the_table_is_bounded_and_forgets_the_oldest() -> None:
    limiter = RateLimiter(1, max_clients=3)
    for second, address in enumerate(("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")):
        assert limiter.take(address, float(second)).allowed
    assert [limiter.take(f"192.0.2.{n}", 5.0).allowed for n in (2, 3, 4)] == [False, False, False]
    assert limiter.take("192.0.2.1", 5.0).allowed


def test_closed_windows_leave_the_table() -> None:
    limiter = RateLimiter(1)
    for n in range(100):
        limiter.take(f"192.0.2.{n}", 0.0)
    limiter.take("192.0.2.200", 60.0)
    assert len(limiter._windows) == 1


def test_looking_says_what_taking_would_and_counts_nothing() -> None:
    limiter = RateLimiter(1)
    assert [limiter.look("192.0.2.1", 0.0).allowed for _ in range(3)] == [True] * 3
    limiter.take("192.0.2.1", 0.0)
    seen = limiter.look("192.0.2.1", 20.0)
    assert (seen.allowed, seen.remaining, seen.reset_s) == (False, 0, 40)
    assert limiter.look("192.0.2.1", 60.0).allowed


def test_threads_together_get_no_more_than_the_limit() -> None:
    limiter = RateLimiter(100)
    allowed: list[bool] = []

    def ask() -> None:
        allowed.extend([limiter.take("192.0.2.1", 1.0).allowed for _ in range(50)])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(allowed), sum(allowed)) == (200, 100)


def test_headers_of_the_api_and_429(make_client, clock) -> None:
    client = make_client(api_rate_limit=2)
    first = client.get("/api/users").headers
    assert (first["RateLimit-Limit"], first["RateLimit-Remaining"], first["RateLimit-Reset"]) == ("2", "1", "60")
    clock.now += 20
    assert client.get("/nothing").headers["RateLimit-Remaining"] == "0"
    refused = client.get("/api/users")
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "40"
    assert "API_RATE_LIMIT" in refused.json["detail"]
    clock.now += 40
    assert client.get("/api/users").status_code == 200


def test_each_address_has_its_own_quota(make_client) -> None:
    client = make_client(api_rate_limit=1)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert client.get("/api/users", environ_overrides={"REMOTE_ADDR": address}).status_code == 200


def test_health_is_exempt(make_client) -> None:
    client = make_client(api_rate_limit=1)
    answers = [client.get("/healthz") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "RateLimit-Limit" not in answers[0].headers
    assert client.get("/api/users").headers["RateLimit-Remaining"] == "0"


def test_zero_means_no_limit(make_client) -> None:
    answer = make_client(api_rate_limit=0).get("/api/users")
    assert answer.status_code == 200
    assert "RateLimit-Limit" not in answer.headers
