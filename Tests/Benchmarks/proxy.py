"""(b) Processor time a proxied request: the gateway with everything on, over nginx's plain proxy_pass; haproxy with token check and limit beside
both. One small answer stands behind all three; 200 tokens of 20 tenants ask, over HTTP/1.1 and over HTTP/2.
"""

import re
import statistics
import subprocess
import sys

import tenants
from tools import finished_wrk, keep, kept, processor_microseconds, rounds, row, say, seconds, setting, started_wrk

SIDES = ["gateway", "nginx", "haproxy"]
PROTOCOLS = {"http1": "HTTP/1.1", "http2": "HTTP/2"}
PATHS = ["/v1/leads/01900000-0000-7000-8000-0000000000" + f"{number:02d}" for number in range(64)]


def http1(url, tokens):
    """By wrk over 16 connections, each with all tokens in turn."""
    told = {"TOKENS": tenants.written("tokens", tokens), "PATHS": " ".join(PATHS)}
    answer = finished_wrk(started_wrk(url, "tokens.lua", 16, seconds, **told), seconds)
    return answer["requests"], answer["per_second"], answer["refused"] + answer["broken"]


def http2(url, tokens):
    """By h2load: a client for each tenant with one connection and four requests at a time, as h2load has one set of header fields."""
    uris = tenants.written("uris", [url + path for path in PATHS])
    command = ["h2load", "-t", "1", "-c", "1", "-m", "4", "-D", str(seconds), "-i", uris]
    clients = [
        subprocess.Popen(command + ["-H", f"authorization: Bearer {token}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for token in tokens[:tenants.TENANTS]
    ]
    requests, failed = 0, 0
    try:
        for client in clients:
            output = client.communicate(timeout=seconds * 4 + 60)[0]
            done = re.search(r"(\d+) done, .* (\d+) errored", output)
            others = re.search(r"2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
            if client.returncode or not done or not others or not int(done[1]):
                sys.exit(f"Tests/bench: h2load failed:\n{output}")
            requests += int(done[1])
            failed += int(done[2]) + sum(map(int, others.groups()))
    finally:
        for client in clients:
            client.kill()
    return requests, requests / seconds, failed


def measure():
    ports = {"gateway": (setting("GATEWAY_PORT"),) * 2, "nginx": (setting("NGINX_PORT"), setting("NGINX_2_PORT")), "haproxy": (setting("HAPROXY_PORT"),) * 2}
    results = {protocol: {side: {"cpu_us": [], "per_second": [], "failed": 0} for side in SIDES} for protocol in PROTOCOLS}
    for number in range(rounds):
        for place, (protocol, load) in enumerate((("http1", http1), ("http2", http2))):
            for side in SIDES:
                tokens = tenants.tokens()
                if side == "haproxy":
                    tokens = tenants.foreign(tokens)
                before = processor_microseconds(side)
                requests, rate, failed = load(f"http://127.0.0.1:{ports[side][place]}", tokens)
                found = results[protocol][side]
                found["cpu_us"].append((processor_microseconds(side) - before) / requests)
                found["per_second"].append(rate)
                found["failed"] += failed
            figures = ", ".join(f"{side} {r['cpu_us'][-1]:.1f} µs ({r['per_second'][-1]:,.0f}/s)" for side, r in results[protocol].items())
            say(f"round {number + 1}: {PROTOCOLS[protocol]}: {figures}")
    keep("proxy", results)


def report():
    """The rows of the table, and lines of their own."""
    found, rows, lines = kept("proxy"), [], []
    for protocol, title in PROTOCOLS.items() if found else ():
        sides = found[protocol]
        for side in SIDES:
            if side != "nginx":
                rows.append(row(f"(b) CPU a proxied request, {title}, {side} / nginx", sides[side]["cpu_us"], sides["nginx"]["cpu_us"], "µs"))
        lines.append(f"\n(b) {title + ', 200 tokens of 20 tenants':42}{'µs: min':>10}{'median':>9}{'max':>9}{'1/s: min':>12}{'median':>10}{'max':>10}{'failed':>8}")
        for side, figures in sides.items():
            times, rates = figures["cpu_us"], figures["per_second"]
            lines.append(
                f"    {side:42}{min(times):>10.1f}{statistics.median(times):>9.1f}{max(times):>9.1f}"
                f"{min(rates):>12,.0f}{statistics.median(rates):>10,.0f}{max(rates):>10,.0f}{figures['failed']:>8}")
    return rows, lines
