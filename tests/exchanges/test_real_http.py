"""The real HTTP client: whole answers come out, everything else is an error with a reason."""

import socket
import ssl
import subprocess
import sys

import pytest

from exchanges.real_http import RealHttp
from exchanges.real_net import reason_of
from tests.exchanges.http_server import HANG_UP, NEVER, Venue, reply, served


async def fetched(says: bytes, *, deadline_s: float = 5.0, max_bytes: int = 10_000):
    async with served(Venue({"/a": says})) as url:
        http = RealHttp()
        try:
            return await http.get(f"{url}/a?b=c", deadline_s=deadline_s, max_bytes=max_bytes)
        finally:
            await http.close()


def reason(run, says: bytes, **limits) -> str:
    with pytest.raises(OSError) as raised:
        run(fetched(says, **limits))
    return reason_of(raised.value)


def test_an_answer_comes_with_status_body_and_headers(run):
    answer = run(fetched(reply({"a": 1}, 429, Retry_After="7")))
    assert (answer.status, answer.body) == (429, b'{"a":1}')
    assert answer.headers["retry-after"] == "7"


def test_a_redirect_is_an_answer_and_is_not_followed(run):
    answer = run(fetched(reply(b"", 302, Location="http://192.0.2.1/elsewhere")))
    assert answer.status == 302


def test_an_answer_that_breaks_off_is_none(run):
    whole = reply({"a": "x" * 1000})
    assert reason(run, whole[:-10]) == "the answer broke off"


def test_a_peer_that_hangs_up_is_no_answer(run):
    assert "hung up" in reason(run, HANG_UP)


def test_what_is_no_http_is_no_answer(run):
    assert "no usable HTTP answer" in reason(run, b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def test_a_silent_peer_ends_at_the_deadline(run):
    assert reason(run, NEVER, deadline_s=0.2) == "timed out"


def test_an_answer_that_trickles_ends_at_the_deadline(run):
    begun = reply({"a": "x" * 1000})[:40]
    with pytest.raises(OSError):
        run(fetched(begun, deadline_s=0.2))


def test_an_answer_may_not_be_longer_than_asked_for_even_when_packed(run):
    import gzip  # noqa: PLC0415

    assert "longer than 100 bytes" in reason(run, reply(b"x" * 101), max_bytes=100)
    packed = reply(gzip.compress(b"x" * 1_000_000), Content_Encoding="gzip")
    assert len(packed) < 2000
    assert "longer than 2,000 bytes" in reason(run, packed, max_bytes=2000)


def test_nobody_listening_is_said(run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def work():
        http = RealHttp()
        try:
            await http.get(f"http://127.0.0.1:{port}/", deadline_s=5, max_bytes=10)
        finally:
            await http.close()

    with pytest.raises(OSError) as raised:
        run(work())
    assert reason_of(raised.value) == "refused: nothing listens there"


def test_a_certificate_that_nobody_vouches_for_is_refused(run, tmp_path):
    import asyncio  # noqa: PLC0415

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def work():
        venue = Venue({"/": reply({})})
        server = await asyncio.start_server(venue.serve, "127.0.0.1", 0, ssl=context)
        async with server:
            http = RealHttp()
            try:
                port = server.sockets[0].getsockname()[1]
                await http.get(f"https://127.0.0.1:{port}/", deadline_s=5, max_bytes=10)
            finally:
                await http.close()

    with pytest.raises(OSError) as raised:
        run(work())
    assert reason_of(raised.value).startswith("TLS: the certificate is not accepted")


def test_loopback_is_asked_without_the_proxy_of_the_environment(run, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    monkeypatch.setenv("no_proxy", "")
    assert run(fetched(reply({}))).status == 200


def test_the_library_is_not_imported_before_something_is_asked():
    code = (
        "import sys, daemon.lifecycle, daemon.markets, exchanges.real_http;"
        "sys.exit('aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
