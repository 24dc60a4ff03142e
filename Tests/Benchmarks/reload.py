"""(m) Certificate and a limit replaced again and again under load over TLS: what failed, and how soon the new ones held."""

import contextlib
import http.client
import os
import signal
import ssl
import statistics
import subprocess
import time

import tenants
from tools import finished_wrk, folder, keep, kept, process_id, say, setting, started_wrk, token

CHANGES, LENGTH, LONGEST = 20, 45, 10
LIMIT = "MARTLET_ADDRESS_LIMIT"
certificates, settings = folder / "tls", folder / "gateway.conf"


def new_certificate():
    """Replaces both files, and returns what a client is to see of it."""
    made = folder / "certificate"
    made.mkdir(exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(made / "key.pem"), "-out", str(made / "cert.pem")],
        capture_output=True, check=True)
    certificate = ssl.PEM_cert_to_DER_cert((made / "cert.pem").read_text())
    certificates.mkdir(exist_ok=True)
    for name in ("key.pem", "cert.pem"):
        os.replace(made / name, certificates / name)
    return certificate


def shown_certificate():
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", int(setting("TLS_PORT"))), timeout=10))


def new_limit(limit):
    written = settings.with_suffix(".new")
    written.write_text(f"{LIMIT}={limit}\n")
    os.replace(written, settings)
    return limit


def told_limit():
    """Of requests without a token from one address, as the answer to one says."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(setting("GATEWAY_PORT")), timeout=10)) as connection:
        connection.request("GET", "/v1/plans")
        answer = connection.getresponse()
    return int((answer.getheader("RateLimit-Policy") or ";q=0").split(";q=")[1].split(";")[0])


def until(is_in_force):
    """After how many milliseconds it was; the longest there is for what never was."""
    start = time.monotonic()
    while (now := time.monotonic()) < start + LONGEST:
        if is_in_force():
            return (time.monotonic() - start) * 1000
        time.sleep(0.01)
    say(f"WARNING: not in force after {LONGEST} s")
    return (now - start) * 1000


def prepare():
    """Before the gateway starts."""
    new_certificate()
    new_limit(900_000)


def measure():
    url, lead = f"https://127.0.0.1:{setting('TLS_PORT')}", "/v1/leads/" + kept("facts")["leads"][0]
    told = {"PATHS": lead, "TOKENS": tenants.written("quiet", [token()])}
    # Connections that stay, and some that are made for one request each.
    loads = [started_wrk(url, "tokens.lua", 32, LENGTH, **told), started_wrk(url, "tokens.lua", 4, LENGTH, CLOSE="yes", **told)]
    time.sleep(1)
    start, times = time.monotonic(), {"certificate": [], "limit": []}
    for number in range(CHANGES):
        if time.monotonic() > start + LENGTH - 2 - LONGEST:
            break
        certificate = new_certificate()
        times["certificate"].append(until(lambda: shown_certificate() == certificate))
        limit = new_limit(900_001 + number)
        os.kill(process_id("gateway"), signal.SIGHUP)
        times["limit"].append(until(lambda: told_limit() == limit))
    found = {**times, "requests": 0, "failed": 0}
    for load in loads:
        answer = finished_wrk(load, LENGTH)
        found["requests"] += answer["requests"]
        found["failed"] += answer["refused"] + answer["broken"]
    say(
        f"{len(times['limit'])} times: {found['failed']} of {found['requests']:,} failed;"
        f" in force after at most {max(times['certificate']):.0f} ms (certificate), {max(times['limit']):.0f} ms (limit)")
    keep("reload", found)


def report():
    found = kept("reload")
    if not found:
        return [], []
    when = lambda name: f"{name} in force after {statistics.median(found[name]):.0f} ms, at most {max(found[name]):.0f} ms"  # noqa: E731
    return [], [
        f"\n(m) certificate and a limit replaced {len(found['limit'])} times under load over TLS:"
        f" {found['failed']} of {found['requests']:,} requests failed; {when('certificate')}; {when('limit')}"
    ]
