"""Pages: escaped, under a strict policy, and changed only by forms that they gave out themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import jinja2
import pytest

from twofold.errors import TwofoldError
from twofold.http.application import Application, Route
from twofold.http.exchange import Request, Response
from twofold.http.html import FORM_FIELDS, POLICY, TOKEN_COOKIE, Form, Site, loopback_only
from twofold.http.problems import Problem

HOST = "127.0.0.1:3000"
HOSTILE = "<script>alert(1)</script>\" ' & \u202e\x00"


class Refused(TwofoldError):
    """An error of the domain."""


def loud(text: str) -> str:
    return text.upper()


def test_who_lacks_the_extra_is_told_before_any_page_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ModuleNotFoundError, match=r"twofold\[console\]"):
        small()


def small(at: str = "") -> Application:
    """A site whose page shows the title that it is asked for, and whose form says what was sent."""
    site = Site(
        "small_site",
        at=at,
        filters={"loud": loud},
        explain=lambda error: Problem(409, "refused", str(error)) if isinstance(error, Refused) else None,
    )

    async def note(request: Request) -> Response:
        return site.render(request, "note.html", title=dict(request.query).get("title", ""))

    async def save(request: Request) -> Response:
        form = await site.read_form(request, limit=200_000)
        return Response(repr((form.text("text"), form.all("tag"), "none" in form)).encode())

    async def missing(request: Request) -> Response:
        return site.render(request, "note.html")

    async def refuse(_request: Request) -> Response:
        raise Refused("not <b>now</b>")

    async def away(request: Request) -> Response:
        return site.redirect(request, "/note?title=a")

    pages = {"note": note, "missing": missing, "refuse": refuse, "away": away}
    routes = [Route("GET", f"{at}/{name}", site.page(handler)) for name, handler in pages.items()]
    routes.append(Route("GET", f"{at}/near", site.page(loopback_only(note))))
    return Application([*routes, Route("POST", f"{at}/note", site.page(save)), site.files()])


def client(at: str = "", root: str = "") -> httpx.AsyncClient:
    """A browser that is at this machine. It keeps cookies."""
    transport = httpx.ASGITransport(small(at), root_path=root)
    return httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}")


def token_in(page: httpx.Response) -> str:
    found = re.search('name="csrf" value="([^"]+)"', page.text)
    assert found is not None
    return found[1]


async def test_a_page_shows_text_and_never_markup() -> None:
    async with client() as browser:
        page = await browser.get("/note", params={"title": HOSTILE})

    assert "<SCRIPT>" not in page.text
    assert "&lt;SCRIPT&gt;ALERT(1)&lt;/SCRIPT&gt;&#34; &#39; &amp; \u202e\x00" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"


async def test_half_of_a_character_breaks_no_page() -> None:
    site = Site("small_site", filters={"loud": loud})
    request = Request({"method": "GET", "path": "/", "query_string": b"", "headers": []}, _nothing)

    assert b"<h1>A?B</h1>" in site.render(request, "note.html", title="a\ud800b").body


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


async def test_a_name_that_is_missing_is_an_error_and_the_page_says_nothing_of_it() -> None:
    async with client() as browser:
        page = await browser.get("/missing")

    assert page.status_code == 500
    assert page.text.startswith("<h1>500</h1><p>The service failed; the fault is not yours</p>")
    site = Site("small_site", filters={"loud": loud})
    request = Request({"method": "GET", "path": "/", "query_string": b"", "headers": []}, _nothing)
    with pytest.raises(jinja2.UndefinedError, match="title"):
        site.render(request, "note.html")


@pytest.mark.parametrize(("at", "root"), [("", ""), ("/console", ""), ("", "/shop one"), ("/console", "/shop one")])
async def test_files_have_names_that_change_with_their_content(at: str, root: str) -> None:
    async with client(at, root) as browser:
        page = await browser.get(f"{root}{at}/note")
        style, script = re.findall('(?:href|src)="([^"]+)"', page.text)
        answers = [await browser.get(path) for path in (style, script)]

        assert re.fullmatch(rf"{root}{at}/static/site-[0-9a-f]{{12}}\.css".replace(" ", "%20"), style)
        assert re.fullmatch(rf"{root}{at}/static/htmx-2\.0\.11-[0-9a-f]{{12}}\.js".replace(" ", "%20"), script)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].text == "body { color: black }\n"
        assert [answer.headers["content-type"] for answer in answers] == [
            "text/css; charset=utf-8",
            "text/javascript; charset=utf-8",
        ]
        assert all("immutable" in answer.headers["cache-control"] for answer in answers)
        for name in ("site.css", "site-000000000000.css", "..%2f__init__.py", ""):
            assert (await browser.get(f"{root}{at}/static/{name}")).status_code == 404


async def test_the_domains_own_errors_are_pages_too() -> None:
    async with client() as browser:
        page = await browser.get("/refuse")

    assert (page.status_code, page.text) == (409, "<h1>409</h1><p>not &lt;b&gt;now&lt;/b&gt;</p>")


@pytest.mark.parametrize(("at", "root"), [("", ""), ("/console", "/shop")])
async def test_a_redirect_stays_within_the_site(at: str, root: str) -> None:
    async with client(at, root) as browser:
        answer = await browser.get(f"{root}{at}/away")

    assert (answer.status_code, answer.headers["location"]) == (303, f"{root}{at}/note?title=a")


async def test_a_form_that_the_page_gave_is_read() -> None:
    async with client() as browser:
        token = token_in(await browser.get("/note"))
        again = await browser.get("/note")
        sent = {"csrf": token, "text": "a & b\r\n<c> ü", "tag": ["1", "2"]}
        answer = await browser.post("/note", data=sent, headers={"Origin": f"http://{HOST}"})

    assert token_in(again) == token  # of all the forms that stand open
    assert "set-cookie" not in again.headers
    assert answer.text == repr(("a & b\n<c> ü", ("1", "2"), False))


async def test_the_token_is_kept_from_scripts_and_other_sites() -> None:
    async with client("/console", "/shop") as browser:
        page = await browser.get("/shop/console/note")

    cookie = page.headers["set-cookie"]
    assert cookie.startswith(f"{TOKEN_COOKIE}={token_in(page)}; Path=/shop; ")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


@pytest.mark.parametrize("token", ["", "x", "A" * 32, "ü" * 32])
async def test_without_its_token_nothing_changes(token: str) -> None:
    async with client() as browser:
        await browser.get("/note")
        answer = await browser.post("/note", data={"csrf": token})

    assert answer.status_code == 403
    assert "Load the page again" in answer.text


@pytest.mark.parametrize("cookie", ["", "x", "A" * 33])
async def test_a_cookie_that_we_did_not_make_is_no_token(cookie: str) -> None:
    async with client() as browser:
        answer = await browser.post("/note", data={"csrf": cookie}, headers={"Cookie": f"{TOKEN_COOKIE}={cookie}"})

    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:3001"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": f"http://{HOST}"},
    ],
)
async def test_a_form_of_another_site_is_refused_even_with_the_token(headers: Mapping[str, str]) -> None:
    async with client() as browser:
        token = token_in(await browser.get("/note"))
        answer = await browser.post("/note", data={"csrf": token}, headers=headers)

    assert (answer.status_code, "another site" in answer.text) == (403, True)


@pytest.mark.parametrize(
    ("content", "media_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=1", "", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"a=1&" * (FORM_FIELDS + 1), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"1" * 200_000, "application/x-www-form-urlencoded", 413),
    ],
)
async def test_what_is_no_form_is_refused(content: bytes, media_type: str, status: int) -> None:
    async with client() as browser:
        await browser.get("/note")
        answer = await browser.post("/note", content=content, headers={"Content-Type": media_type})

    assert answer.status_code == status


async def test_a_page_may_be_for_this_machine_only() -> None:
    async with client() as browser:
        answers = {
            host: (await browser.get("/near", headers={"Host": host})).status_code
            for host in ("127.0.0.1:3000", "localhost", "LOCALHOST:80", "[::1]:3000", "evil.example", "[", "10.0.0.1")
        }
        forwarded = await browser.get("/near", headers={"X-Forwarded-For": "203.0.113.9"})

    assert answers == {
        "127.0.0.1:3000": 200,
        "localhost": 200,
        "LOCALHOST:80": 200,
        "[::1]:3000": 200,
        "evil.example": 403,
        "[": 403,
        "10.0.0.1": 403,
    }
    assert forwarded.status_code == 403


def test_a_form_has_its_fields_in_order() -> None:
    form = Form([("a", "1"), ("b", "2\r\n3"), ("a", "4")])

    assert (form.text("a"), form.all("a"), form.text("b"), form.text("c"), form.all("c")) == (
        "1",
        ("1", "4"),
        "2\n3",
        "",
        (),
    )
