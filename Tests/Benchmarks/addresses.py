"""(l) Two addresses of crm behind 32 connections that never pause, while one is killed and started again and again."""

import crowd
from tools import folder, keep, kept, say, setting, token

# Tests/bench writes into it how many times that was, when it is over.
over = folder / "addresses.over"
CONNECTIONS, LONGEST = 32, 300


def measure():
    credentials = token()
    requests = [crowd.request(f"/v1/leads/{lead}", credentials) for lead in kept("facts")["leads"]]
    looked = [0.0]

    def is_over(time):
        """Whether the file is there; looked up ten times a second."""
        if time - looked[0] < 0.1:
            return False
        looked[0] = time
        return over.exists() or time > LONGEST

    with crowd.Crowd(int(setting("GATEWAY_PORT")), CONNECTIONS) as callers:
        answers, ended = callers.ask(requests, is_over), callers.ended
    times = [(answer.done - answer.sent) * 1000 for answer in answers]
    found = {
        "kills": int(over.read_text()) if over.exists() else None, "asked": len(answers), "statuses": crowd.statuses(answers), "ended": ended,
        "p99_ms": crowd.percentile(times, 0.99), "slowest_ms": max(times, default=0),
    }
    say(
        f"{found['asked']:,} asked while one of two was killed {found['kills']} times: {found['statuses']};"
        f" 99 % in {found['p99_ms']:.1f} ms, slowest {found['slowest_ms']:.0f} ms")
    keep("addresses", found)


def report():
    found = kept("addresses")
    if not found:
        return [], []
    wrong = found["asked"] - found["statuses"].get("200", 0)
    return [], [
        f"\n(l) two addresses of crm, {CONNECTIONS} connections, one killed and started again {found['kills']} times:"
        f" {wrong} of {found['asked']:,} answers not 200 {found['statuses']},"
        f" {found['ended']} connections ended; 99 % in {found['p99_ms']:.1f} ms, slowest {found['slowest_ms']:.0f} ms"
    ]
