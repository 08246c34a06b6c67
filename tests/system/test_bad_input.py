"""What nobody should send, answered as a no that says what to do, and never as a failure of ours."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import Product


@pytest.mark.parametrize(
    ("face", "method", "path"),
    [
        ("admin", "GET", "/api/events/%00"),
        ("admin", "PATCH", "/api/events/%00"),
        ("admin", "GET", "/api/events/%00/dashboard"),
        ("admin", "PATCH", "/api/tiers/a%00b"),
        ("admin", "POST", "/api/organizers/%00/keys"),
        ("web", "GET", "/api/orders/%00"),
        ("web", "GET", "/api/events/%00"),
        ("web", "GET", "/orders/%00"),
        ("web", "GET", "/orders/%00/tickets.pdf"),
        ("web", "GET", "/tickets/%00/qr.svg"),
        ("web", "GET", "/events/%00"),
    ],
)
def test_a_nul_in_an_address_names_nothing(product: Product, face: str, method: str, path: str) -> None:
    body = {} if method != "GET" else None
    answer = product.admin(method, path, body) if face == "admin" else product.web(method, path, body)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_a_nul_in_a_parameter_is_refused(product: Product) -> None:
    for answer in (
        product.web("GET", "/api/events?starting_after=%00"),
        product.admin("GET", "/api/events?starting_after=evt_%00"),
        product.admin("GET", "/api/events?%00=1"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_a_nul_in_a_form_buys_nothing(product: Product) -> None:
    event = product.make_event()
    tier = product.web("GET", f"/api/events/{event}").json()["tiers"][0]["id"]
    form = {f"quantity-{tier}": "1", "promo_code": "a\0b"}
    answer = product.http.post(f"{product.run['web_url']}/events/{event}/holds", data=form)
    assert answer.status_code == 422
    hold = product.hold(event).json()["id"]
    for form in ({"email": "a\0@example.com", "name": "A"}, {"email": "a@example.com", "name": "A\0"}):
        answer = product.http.post(f"{product.run['web_url']}/holds/{hold}/checkout", data=form)
        assert answer.status_code == 422


def test_a_body_in_another_character_set_is_refused(product: Product) -> None:
    event = product.make_event()
    body = f'{{"lines":[{{"tier":"{product.tiers(event)[0]}","quantity":1}}]}}'
    for url in (product.run["web_url"], product.run["lane_url"]):
        where = f"{url}/api/events/{event}/holds"
        wrong = product.http.post(
            where, content=body.encode("utf-16"), headers={"Content-Type": "application/json; charset=utf-16"}
        )
        assert (wrong.status_code, wrong.json()["code"]) == (415, "unsupported_media_type")
        good = product.http.post(
            where, content=body.encode(), headers={"Content-Type": 'application/json; charset="UTF-8"'}
        )
        assert good.status_code == 201


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"FOO /api/events/evt_x/holds HTTP/1.1", b"405"),
        (b"DELETE /api/events/evt_x/holds HTTP/1.1", b"405"),
        (b"\x16\x03\x01 hello", b"400"),
    ],
)
def test_the_lane_knows_a_method_from_noise(product: Product, head: bytes, status: bytes) -> None:
    lane = urlsplit(product.run["lane_url"])
    with socket.create_connection((lane.hostname, lane.port), 10) as stream:
        stream.sendall(head + b"\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert stream.recv(4096).split(b" ")[1] == status


@pytest.mark.parametrize("name", ["", " ", "\n", "two\nlines", "\u2003"])
def test_a_name_has_something_to_read_on_one_line(product: Product, name: str) -> None:
    event = product.make_event()
    answer = product.admin("PATCH", f"/api/events/{event}", {"name": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "name"


def test_an_answer_that_needs_no_body_waits_for_it_and_the_connection_lives(product: Product) -> None:
    admin = urlsplit(product.run["admin_url"])
    with socket.create_connection((admin.hostname, admin.port), 10) as stream:
        stream.sendall(b"PATCH /api/events/evt_x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        stream.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(10)
        stream.sendall(b"{}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: stream.recv(4096), b""))
    assert answers.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in answers
