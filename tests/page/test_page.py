"""The page for people, in a real browser: live, explained, in two languages, for eyes, ears and keyboards."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.programs import require
from tests.page.browser import PHONE, visit
from tests.support.office import Office, eventually, office_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECTIONS = ("#/", "#/history", "#/statistics", "#/security", "#/doctor", "#/number/101")
TOKEN = "a-token-that-nobody-guesses"


def text(page: Page, selector: str, wanted: str) -> None:
    """Wait until the element says so."""
    page.locator(selector).filter(has_text=wanted).first.wait_for()


def test_a_call_appears_is_answered_and_is_hung_up_as_one_looks_on(browser: Browser, office: Office, home: str) -> None:
    alice, bob = office.phones("100", "101")
    with visit(browser, home) as page:
        text(page, "#link", "live")
        text(page, "section", "2 of 11 numbers are registered.")
        call = alice.call("101")
        ring = bob.expect_call()
        ring.ring()
        text(page, "article", "ringing")
        ring.answer()
        call.wait_answered()
        text(page, "article", "talking")
        call.media.send(*call.media.make_packets(10))
        text(page, "article .meter", "sound from caller")
        page.get_by_role("button", name="Hang up: 100 → 101").click()
        assert [side.wait_ended().method for side in (call, ring)] == ["BYE", "BYE"]
        text(page, "section", "Nobody is on the phone.")
        text(page, ".events", "100 → 101")
        page.get_by_role("link", name="History").click()
        text(page, "tr", "ended by the administrator")


def test_a_phone_that_comes_and_goes(browser: Browser, office: Office, home: str) -> None:
    with visit(browser, home) as page:
        text(page, "section", "0 of 11 numbers are registered.")
        phone = office.phone("105")
        text(page, "tr", "SoftPhone")
        page.get_by_role("button", name="De-register: 105").click()
        text(page, "section", "0 of 11 numbers are registered.")
        assert office.numbers() == []
        phone.register()
        text(page, "section", "1 of 11 numbers are registered.")


def test_the_story_of_a_call_that_failed(browser: Browser, office: Office, home: str, tmp_path: Path) -> None:
    alice, bob = office.phones("100", "101")
    call = alice.call("101")
    bob.expect_call().reject(486)
    call.wait_rejected()
    with visit(browser, f"{home}#/history") as page:
        page.get_by_role("link", name="100 → 101").click()
        text(page, "section", "101 is busy")
        arrows = page.locator(".ladder [role=button]")
        first = arrows.filter(has_text="INVITE").first
        first.focus()
        page.keyboard.press("Enter")
        text(page, "pre", f"Call-ID: {call.call_id}")
        arrows.filter(has_text="486").first.click()
        text(page, "pre", "SIP/2.0 486")
        with page.expect_download() as download:
            page.get_by_role("link", name="For Wireshark (pcap)").click()
        capture = tmp_path / "call.pcap"
        download.value.save_as(capture)
    read = [require("tshark", "tshark"), "-r", str(capture), "-Y", "sip", "-T", "fields", "-e", "sip.Call-ID"]
    found = subprocess.run(read, capture_output=True, text=True, check=True).stdout.split()
    assert len(found) >= 8
    assert call.call_id in found


def test_two_phones_are_connected_from_the_page(browser: Browser, office: Office, home: str) -> None:
    alice, bob = office.phones("100", "101")
    with visit(browser, home) as page:
        page.get_by_label("First").select_option("100")
        page.get_by_label("Then").fill("101")
        page.get_by_role("button", name="Call", exact=True).click()
        at_alice = alice.expect_call()
        at_alice.ring()
        at_alice.answer()
        at_bob = bob.expect_call()
        at_bob.ring()
        at_bob.answer()
        text(page, "article", "talking")


def test_bans_are_made_and_lifted(browser: Browser, office: Office, home: str) -> None:
    office.unregistered("999").send_register().wait_final()
    with visit(browser, f"{home}#/security") as page:
        text(page, "tr", "999")
        page.get_by_label("IP address").fill("192.0.2.9")
        page.get_by_label("Reason").fill("<b>too loud</b>")
        page.get_by_role("button", name="Ban", exact=True).click()
        text(page, "tr", "<b>too loud</b>")
        page.get_by_role("button", name="Lift: 192.0.2.9").click()
        text(page, "section", "Nobody is banned.")


def test_history_is_searched_by_number_and_day(browser: Browser, office: Office, home: str) -> None:
    """What is typed stays, though the list grows meanwhile."""
    alice, bob, carol = office.phones("100", "101", "102")
    for caller, callee in ((alice, bob), (carol, bob), (alice, carol)):
        call, _ = office.connect(caller, callee)
        call.hang_up()
    with visit(browser, f"{home}#/history") as page:
        text(page, "[role=status]", "3 calls")
        page.get_by_label("Number").fill("102")
        call, _ = office.connect(alice, bob)
        call.hang_up()
        text(page, "[role=status]", "4 calls")
        page.get_by_role("button", name="Search").click()
        text(page, "[role=status]", "2 calls")
        page.get_by_label("To", exact=True).fill("2001-01-01")
        page.get_by_role("button", name="Search").click()
        text(page, "[role=status]", "No call fits.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_is_accessible(browser: Browser, office: Office, home: str, scheme: str) -> None:
    """axe-core finds no serious fault, in either colour scheme; nothing is wider than a small screen."""
    from axe_playwright_python.sync_playwright import Axe

    alice, bob = office.phones("100", "101")
    call, ring = office.connect(alice, bob)
    call.media.send(*call.media.make_packets(10))
    ring.media.receive()
    alice.call("104").wait_rejected()
    office.unregistered("999").send_register().wait_final()
    (ended,) = office.api.get("/api/calls/history")
    paths = (*SECTIONS, f"#/call/{ended['callId']}")
    faults = []
    with visit(browser, home, color_scheme=scheme, viewport=PHONE, locale="ru-RU") as page:
        for path in paths:
            page.goto(home + path)
            page.locator("main section").first.wait_for()
            found = Axe().run(page).response["violations"]
            faults += [(path, each["id"]) for each in found if each["impact"] in ("serious", "critical")]
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
    assert faults == []


def test_the_language_is_that_of_the_browser(browser: Browser, home: str) -> None:
    for locale, title in (("ru-RU", "Сейчас"), ("en-US", "Now"), ("de-DE", "Now")):
        with visit(browser, home, locale=locale) as page:
            text(page, "nav [aria-current]", title)
            assert page.evaluate("document.documentElement.lang") == ("ru" if locale == "ru-RU" else "en")


def test_both_languages_say_everything_with_the_same_names_in_it(browser: Browser, home: str) -> None:
    with visit(browser, home) as page:
        english, russian = page.evaluate(
            "Promise.all(['en', 'ru'].map(async (name) => (await import(`/web/js/texts-${name}.js`)).TEXTS))"
        )
    assert english.keys() == russian.keys()
    for name, wanted in english.items():
        assert names_in(wanted) == names_in(russian[name]), name


def names_in(form: Any) -> set[str]:
    """The placeholders of a text, or of all forms of one."""
    texts = form.values() if isinstance(form, dict) else (form,)
    return {name for each in texts for name in re.findall(r"{(\w+)}", each)}


def test_a_server_that_others_reach_asks_for_its_token(browser: Browser, tmp_path: Path) -> None:
    office = Office(office_config(tmp_path, api_host="0.0.0.0", api_token=TOKEN))
    try:
        with visit(browser, f"http://127.0.0.1:{office.server.api_port}/", expect_errors=True) as page:
            page.get_by_label("Token").fill("wrong-" + TOKEN)
            page.get_by_role("button", name="Enter").click()
            text(page, "[role=alert]", "That is not the token.")
            page.get_by_label("Token").fill(TOKEN)
            page.get_by_role("button", name="Enter").click()
            text(page, "#link", "live")
            assert TOKEN not in page.evaluate(
                "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}])"
            )
    finally:
        office.close()


def test_a_server_that_restarts_is_found_again(browser: Browser, tmp_path: Path) -> None:
    office = Office(office_config(tmp_path))
    port = office.server.api_port
    with visit(browser, f"http://127.0.0.1:{port}/", expect_errors=True) as page:
        text(page, "#link", "live")
        office.close()
        text(page, "#link", "connecting")
        again = Office(office_config(tmp_path, api_port=port))
        try:
            text(page, "#link", "live")
            again.phone("100")
            text(page, "section", "1 of 11 numbers are registered.")
        finally:
            again.close()


def test_it_is_light(browser: Browser, office: Office, home: str) -> None:
    """What decides how fast it is there: few requests, and few bytes."""
    with visit(browser, home) as page:
        text(page, "section", "0 of 11")
        sizes = page.evaluate(
            "performance.getEntriesByType('resource').map((each) => [each.name, each.decodedBodySize])"
        )
    own = [size for name, size in sizes if "/web/" in name]
    assert 10 < len(own) <= 30
    assert sum(own) < 150_000
    eventually(lambda: office.api.get("/api/calls") == [], "an office at rest")
