"""Who may look at the console and who may change something: every page, every rule."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from consoles import AT, act, browser, logins, see, text_of, token_in
from orders.app import OrderService, open_service
from orders.settings import Lifecycle
from twofold.console import sessions
from twofold.console.logins import LoginsRefused, Role, new_login, read_logins
from twofold.console.pages import PAGES
from twofold.console.visits import Page
from twofold.http.html import POLICY

EVERY = [page for module in PAGES for page in module.pages()]
CHANGES = [page for page in EVERY if page.method != "GET" and page.role is not None]
TRIES = ["/commands/try"]  # change nothing, and show what is in events
READS = [page for page in EVERY if page.method == "GET" and page.role is not None]
API = [
    ("GET", "", Role.SEE),
    ("GET", "/order_details/parked", Role.PAYLOADS),
    ("GET", "/order_details/parked/1", Role.PAYLOADS),
    *(
        ("POST", f"/order_details/{change}", Role.OPERATE)
        for change in ("pause", "resume", "reset", "parked/retry", "parked/skip", "parked/undo-skip")
    ),
]


def named(page: Page) -> str:
    return f"{page.method} {page.path}"


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> str:
    return logins(tmp_path_factory.mktemp("logins"), ann=Role.SEE, bob=Role.PAYLOADS, eve=Role.OPERATE)


@pytest.fixture
async def opened() -> AsyncGenerator[OrderService]:
    async with open_service("memory:", lifecycle=Lifecycle.SUBSCRIBED) as service:
        yield service


async def log_in(http: httpx.AsyncClient, name: str, **fields: str) -> httpx.Response:
    page = await http.get("/console/login")
    sent = {"csrf": token_in(page), "name": name, "password": name, **fields}
    return await http.post("/console/login", data=sent, headers={"Origin": AT})


# --- nobody, or the wrong role -------------------------------------------------------------------------------------


def test_every_change_needs_the_role_to_operate_and_every_page_some_role() -> None:
    assert {page.path for page in EVERY if page.role is None} == {"/login", "/logout"}
    assert CHANGES
    for page in CHANGES:
        assert page.role is (Role.PAYLOADS if page.path in TRIES else Role.OPERATE), page


async def test_nothing_is_shown_and_nothing_changes_without_a_login(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        token = token_in(await http.get("/console/login"))
        for page in READS:
            answer = await http.get(f"/console{page.path}")
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/console/login"), page
        for page in CHANGES:
            answer = await http.post(f"/console{page.path}", data={"csrf": token, "name": "order_details"})
            assert answer.status_code == 401, page
        for method, path, _role in API:
            answer = await http.request(method, f"/projections{path}", json={})
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["ann", "bob"])
async def test_nothing_changes_without_the_role(opened: OrderService, users: str, name: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        await log_in(http, name)
        for page in CHANGES:
            answer = await act(http, page.path, {"name": "order_details", "reason": "why"})
            if name == "bob" and page.path in TRIES:
                assert answer.status_code == 404, page  # no command was named
            else:
                assert answer.status_code == 403, page
                needed = "payloads" if page.path in TRIES else "operate"
                assert f"it needs the role {needed}" in text_of(answer)
        form = await see(http, "/commands/form?command=CancelOrder")
        assert ("Try it" in form, "Send it" in form) == (name == "bob", False)
        bearer = {"Authorization": f"Bearer {name}:{name}"}
        for method, path, role in API:
            answer = await http.request(method, f"/projections{path}", json={}, headers=bearer)
            allowed = role <= (Role.SEE if name == "ann" else Role.PAYLOADS)
            assert (answer.status_code != 403) == allowed, path


async def test_nothing_changes_without_the_token_of_the_form(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        await log_in(http, "eve")
        for page in CHANGES:
            for token in ("", "x", "A" * 32):
                answer = await http.post(f"/console{page.path}", data={"csrf": token, "name": "order_details"})
                assert answer.status_code == 403, page
        for method, path, role in API:  # a session is good here too, but changes nothing without the token
            answer = await http.request(method, f"/projections{path}", json={})
            assert (answer.status_code == 403) == (role is Role.OPERATE), path


async def test_the_api_of_the_console_goes_by_the_same_rules(opened: OrderService, users: str) -> None:
    needed = {"/commands/send": Role.OPERATE, "/commands/try": Role.PAYLOADS, "/export": Role.PAYLOADS}
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        described = (await http.get("/openapi.json")).json()["paths"]
        served = [
            (method.upper(), path, needed.get(path.removeprefix("/console/api"), Role.SEE))
            for path, methods in described.items()
            if path.startswith("/console/api/")
            for method in methods
        ]
        assert len(served) > len(needed)
        for method, path, _role in served:
            assert (await http.request(method, path, json={})).status_code == 401, path
        for name, role in (("ann", Role.SEE), ("bob", Role.PAYLOADS), ("eve", Role.OPERATE)):
            bearer = {"Authorization": f"Bearer {name}:{name}"}
            for method, path, least in served:
                answer = await http.request(method, path, json={}, headers=bearer)
                assert (answer.status_code == 403) == (role < least), (name, path)
        await log_in(http, "eve")
        for method, path, _role in served:  # a session sends nothing without the token of a form
            answer = await http.request(method, path, json={})
            assert (answer.status_code == 403) == (method == "POST"), path
    async with browser(opened) as http:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Host": "evil.example"},
            {"X-Forwarded-For": "203.0.113.9"},
        ):
            for method, path, _role in served:
                if method == "POST" or "Origin" not in headers:
                    answer = await http.request(method, path, json={}, headers=headers)
                    assert answer.status_code == 403, (headers, path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:3000"},
        {"X-Forwarded-For": "203.0.113.9"},
    ],
)
async def test_no_other_site_can_have_a_browser_on_this_machine_change_something(
    opened: OrderService, headers: dict[str, str]
) -> None:
    async with browser(opened) as http:
        token = token_in(await http.get("/console/projections/show?name=order_details"))
        for page in CHANGES:
            answer = await http.post(
                f"/console{page.path}", data={"csrf": token, "name": "order_details"}, headers=headers
            )
            assert answer.status_code == 403, page
        for method, path, _role in API:
            if method == "POST":
                assert (await http.post(f"/projections{path}", json={}, headers=headers)).status_code == 403
        if "Host" in headers or "X-Forwarded-For" in headers:  # nor read anything
            for page in READS:
                assert (await http.get(f"/console{page.path}", headers=headers)).status_code == 403, page
            assert (await http.get("/projections", headers=headers)).status_code == 403


async def test_on_this_machine_a_form_needs_its_token_too(opened: OrderService) -> None:
    async with browser(opened) as http:
        for page in CHANGES:
            assert (await http.post(f"/console{page.path}", data={"name": "order_details"})).status_code == 403


async def test_where_others_can_reach_it_and_nobody_may_log_in_there_is_no_console(opened: OrderService) -> None:
    async with browser(opened, host="192.0.2.1") as http:
        assert (await http.get("/console")).status_code == 404
    async with browser(opened, host="192.0.2.1", console=True) as http:
        assert (await http.get("/console")).status_code == 403
    async with browser(opened, console=False) as http:
        assert (await http.get("/console")).status_code == 404
        assert (await http.get("/projections")).status_code == 200


# --- who may -------------------------------------------------------------------------------------------------------


async def test_who_logs_in_comes_to_where_it_wanted_to_go(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        asked = await http.get("/console/projections/show?name=order_details")
        page = await http.get(asked.headers["location"])
        assert 'value="/console/projections/show?name=order_details"' in page.text
        done = await log_in(http, "eve", next="/console/projections/show?name=order_details")
        assert done.headers["location"] == "/console/projections/show?name=order_details"
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "eve operate" in await see(http, "/projections")
        out = await act(http, "/logout", {})
        assert "Log in" in text_of(out)
        assert (await http.get("/console")).status_code == 303


@pytest.mark.parametrize(
    "there",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "//[x",
        "/a\nSet-Cookie: x=y",
        "/a\x01b",
        "/\N{GREEK SMALL LETTER ALPHA}",
        "/" + "x" * 5_000,
    ],
)
async def test_a_login_leads_nowhere_else(opened: OrderService, users: str, there: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        done = await log_in(http, "eve", next=there)
        assert (done.status_code, done.headers["location"]) == (303, "/console")


@pytest.mark.parametrize(
    "path",
    [
        "/desk/orders/%CE%B1%20%26%3Fb%23c",
        "/?q=%CE%B1%26b&customer=a%3Fb",
        "/console/stream?name=order-%CE%B1%26&at=1",
        "/console/%CE%B1",
    ],
)
async def test_a_login_leads_to_any_page_that_was_asked_for(opened: OrderService, users: str, path: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        asked = await http.get(path)
        if asked.status_code == 303:  # else it needs no login
            there = html.unescape((await http.get(asked.headers["location"])).text)
            assert f'value="{path}"' in there
        done = await log_in(http, "eve", next=path)
        assert (done.status_code, done.headers["location"]) == (303, path)


async def test_a_login_does_without_an_address_that_is_too_long(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        for path in ("/", "/console/search"):
            asked = await http.get(path, params={"q": "x" * 499})
            assert (await http.get(asked.headers["location"])).status_code == 200


async def test_behind_https_the_session_is_not_sent_in_the_open(opened: OrderService, users: str) -> None:
    async with browser(opened, console_logins=users) as http:
        page = await http.get("/console/login", headers={"Host": "shop.example"})
        sent = {"csrf": token_in(page), "name": "eve", "password": "eve"}
        headers = {"Origin": "https://shop.example", "Host": "shop.example"}
        done = await http.post("/console/login", data=sent, headers=headers)
        assert done.headers["set-cookie"].endswith("; Secure")


async def test_passwords_are_tried_ever_more_slowly(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        answers = [
            await log_in(http, "eve", password="guess")  # noqa: S106 - it is wrong
            for _ in range(6)
        ]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await log_in(http, "eve")).status_code == 429  # the right one too
        assert (await log_in(http, "ann")).status_code == 303  # others do not wait for it


async def test_a_session_ends_and_cannot_be_made_up(
    opened: OrderService, users: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        await log_in(http, "eve")
        good = http.cookies["twofold-session"]
        assert (await http.get("/console")).status_code == 200
        (eve,) = (login for login in read_logins(users) if login.name == "eve")
        forged = sessions.Signer(b"another secret").begun(eve)
        http.cookies.clear()
        for cookie in (forged, good[:-2], f"{good}AA", "x", "=" * 100, good.swapcase()):
            answer = await http.get("/console", headers={"Cookie": f"twofold-session={cookie}"})
            assert answer.status_code == 303, cookie
        kept = {"Cookie": f"twofold-session={good}"}
        assert (await http.get("/console", headers=kept)).status_code == 200
        later = time.time() + sessions.SESSION_SECONDS + 1
        monkeypatch.setattr("twofold.console.sessions.time.time", lambda: later)
        assert (await http.get("/console", headers=kept)).status_code == 303


def with_another_password(users: str, name: str) -> str:
    """The same file of logins, but that one of them has another password."""
    known = [new_login(name, one.role, "another") if one.name == name else one for one in read_logins(users)]
    path = Path(f"{users}-changed")
    path.write_text("".join(f"{one.line()}\n" for one in known))
    return str(path)


async def test_a_session_ends_with_its_password(opened: OrderService, tmp_path: Path) -> None:
    secret = "signs the sessions of a test"  # noqa: S105 - as it says
    users = logins(tmp_path, ann=Role.SEE, eve=Role.OPERATE)
    sessions_of: dict[str, str] = {}
    for name in ("ann", "eve"):
        async with browser(opened, console_logins=users, console_secret=secret) as http:
            await log_in(http, name)
            sessions_of[name] = http.cookies["twofold-session"]
    changed = with_another_password(users, "eve")  # as it leaked
    async with browser(opened, console_logins=changed, console_secret=secret) as http:
        for name, status in (("ann", 200), ("eve", 303)):
            headers = {"Cookie": f"twofold-session={sessions_of[name]}"}
            assert (await http.get("/console", headers=headers)).status_code == status, name


async def test_a_program_brings_its_token(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        bearer = {"Authorization": "Bearer eve:eve"}
        for _ in range(2):  # known from the second time on
            assert (await http.get("/projections", headers=bearer)).status_code == 200
        paused = await http.post("/projections/order_details/pause", json={"reason": "why"}, headers=bearer)
        assert paused.status_code == 204
        for wrong in (
            "Bearer eve:guess",
            "Bearer eve",
            "Basic ZXZlOmV2ZQ==",
            "Bearer nobody:eve",
            "Bearer :",
            "Bearer",
        ):
            assert (await http.get("/projections", headers={"Authorization": wrong})).status_code == 401
        see_only = {"Authorization": "Bearer ann:ann"}
        resumed = await http.post("/projections/order_details/resume", headers=see_only)
        assert resumed.status_code == 403


async def test_a_program_that_asks_many_things_at_once_tries_its_token_once(opened: OrderService, users: str) -> None:
    async with browser(opened, host="192.0.2.1", console_logins=users) as http:
        for token, status in (("eve:guess", 401), ("eve:eve", 200), ("eve:eve", 200)):
            headers = {"Authorization": f"Bearer {token}"}
            answers = await asyncio.gather(*(http.get("/projections", headers=headers) for _ in range(12)))
            assert [answer.status_code for answer in answers] == [status] * 12


# --- the file of logins --------------------------------------------------------------------------------------------


def test_a_file_of_logins_is_read(tmp_path: Path) -> None:
    path = tmp_path / "logins"
    login = new_login("ann", Role.PAYLOADS, "a long password")
    path.write_text(f"# who may\n\n{login.line()}\n")
    (found,) = read_logins(str(path))
    assert (found.name, found.role) == ("ann", Role.PAYLOADS)
    assert found.password.matches("a long password")
    assert not found.password.matches("another")
    assert "a long password" not in path.read_text()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "must have 1 to"),
        ("ann see", "line 1 .* must be NAME ROLE HASH"),
        ("ann see secret", "line 1 .* has no hash"),
        ("ann all scrypt$2$8$1$AAAAAAAAAAA=$AAAAAAAAAAA=", "line 1 .* has no role"),
        ("a/b see scrypt$2$8$1$AAAAAAAAAAA=$AAAAAAAAAAA=", "a name that is none"),
        ("ann see scrypt$3$8$1$AAAAAAAAAAA=$AAAAAAAAAAA=", "has no hash"),
        ("ann see scrypt$2$8$1$AAAAAAAAAAA=$AAAAAAAAAAA=\n" * 2, "line 2 .* the name of another line"),
    ],
)
def test_a_file_of_logins_that_is_wrong_is_refused(tmp_path: Path, lines: str, expected: str) -> None:
    path = tmp_path / "logins"
    path.write_text(lines)
    with pytest.raises(LoginsRefused, match=expected) as refused:
        read_logins(str(path))
    assert "secret" not in str(refused.value)


def test_a_file_of_logins_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoginsRefused, match="cannot be read"):
        read_logins(str(tmp_path / "none"))


# --- every answer --------------------------------------------------------------------------------------------------


async def test_every_answer_lets_nothing_in(opened: OrderService) -> None:
    async with browser(opened) as http:
        for path in ("", "/projections", "/parked", "/nothing", "/parked/show?position=x"):
            headers = (await http.get(f"/console{path}")).headers
            assert headers["content-security-policy"] == POLICY
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
