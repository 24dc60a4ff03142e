"""(k) More than there is: one tenant that asks for a hundred times its limit, or for all it can get, beside one that asks little; and all twenty
together for three times what the services can do.
"""

import statistics

import crowd
import tenants
from tools import as_superuser, demo, finished_wrk, gateway, keep, kept, milliseconds, rounds, row, say, seconds, setting, started_wrk, token

# Of the loud tenant a second; and what it asks for: a hundred connections, each every 10 ms.
SHARE, CONNECTIONS, DELAY = 100, 100, 10
# What the three times are of: 200 leads whole, some hundreds a second, so that those who ask take little of the machine.
PAGE = "/v1/leads?limit=200"


def loud(name, limit):
    operator = demo.API(gateway).signed_in("operator@martlet.test")
    person = demo.API(gateway).registered(f"{name}@acme.test", name, organization={"name": name, "slug": f"bench-{name}"})
    operator.call("PATCH", f"/v1/platform/tenants/{person.tenant['id']}", {"plan": "enterprise", "overrides": {"requests_per_second": limit}})
    return lambda: tenants.written(name, [demo.API(gateway).signed_in(f"{name}@acme.test").token])


def beside():
    """The slowest hundredth of a quiet tenant's reads, asked for every 5 ms at most: alone, and beside each of the loud ones."""
    lead = "/v1/leads/" + kept("facts")["leads"][0]
    over, within = loud("over", SHARE), loud("within", 1_000_000)
    noises = {"over": (over, CONNECTIONS, {"DELAY": str(DELAY)}), "within": (within, 256, {})}
    results = {"alone": [], **{name: [] for name in noises}, "asked": {name: [] for name in noises}, "refused": {name: [] for name in noises}}

    def read():
        answer = finished_wrk(started_wrk(gateway, "tokens.lua", 1, seconds, PATHS=lead, TOKENS=tenants.written("quiet", [token()]), DELAY="5"), seconds)
        if answer["refused"] or answer["broken"]:
            say(f"WARNING: of the quiet tenant's reads {answer['refused']} were refused, {answer['broken']} broke off")
        return milliseconds(answer["p99"])

    for number in range(rounds):
        results["alone"].append(read())
        for name, (credentials, connections, told) in noises.items():
            # Of the loud tenant's reads nothing is found, which costs the services as much.
            noise = started_wrk(gateway, "tokens.lua", connections, seconds + 2, PATHS=lead, TOKENS=credentials(), **told)
            results[name].append(read())
            answer = finished_wrk(noise, seconds + 2)
            results["asked"][name].append(answer["per_second"])
            results["refused"][name].append(answer["refused"] / answer["requests"])
        say(f"round {number + 1}: p99 of the quiet tenant, ms: " + ", ".join(f"{name} {results[name][-1]:.1f}" for name in ("alone", *noises)))
    return results


def fill():
    """Two thousand leads for each of the twenty tenants: those of the tenants that are there as rows only."""
    ids = ", ".join(f"('{tenant}'::uuid)" for tenant in tenants.tenant_ids())
    own = kept("facts")["tenant"]
    as_superuser(
        "set session_replication_role = replica; update crm.lead set tenant_id = ours.id"
        f" from (select id, row_number() over () as place from (values {ids}) as given (id)) as ours,"
        f" (select tenant_id, row_number() over () as place from"
        f" (select tenant_id from crm.lead where tenant_id <> '{own}' group by tenant_id having count(*) = 2000) as rows) as theirs"
        " where ours.place = theirs.place and lead.tenant_id = theirs.tenant_id")
    as_superuser("vacuum analyze crm.lead")


def overload():
    """What 64 callers get, each asking again at once; then three times as much asked for by the clock."""
    fill()
    results = {"peak": [], "asked": [], "good": [], "refused_ms": [], "slowest_ms": [], "silent": 0, "broken": 0, "late_ms": [], "statuses": []}
    length = max(seconds, 5)
    for number in range(rounds):
        requests = [crowd.request(PAGE, token) for token in tenants.tokens()]
        with crowd.Crowd(int(setting("GATEWAY_PORT")), 64) as callers:
            peak = sum(1 for answer in callers.ask(requests, lambda time: time > length) if answer.status == 200) / length
        with crowd.Crowd(int(setting("GATEWAY_PORT")), crowd.files(2000)) as callers:
            answers = callers.ask(requests, lambda time: time > length, rate=3 * peak)
        refused = [answer for answer in answers if answer.status not in (0, 200)]
        times = [(answer.done - answer.sent) * 1000 for answer in refused]
        results["peak"].append(peak)
        results["asked"].append(len(answers) / length)
        # Those answered after the end do not count: they would be more than the time had room for.
        last = min(answer.due for answer in answers) + length if answers else 0
        results["good"].append(sum(1 for answer in answers if answer.status == 200 and answer.done <= last) / length)
        results["refused_ms"].append(crowd.percentile(times, 0.99))
        results["slowest_ms"].append(max(times, default=0))
        results["silent"] += sum(1 for answer in refused if not answer.says_when)
        results["broken"] += sum(1 for answer in answers if answer.status == 0)
        results["late_ms"].append(crowd.percentile([(answer.sent - answer.due) * 1000 for answer in answers], 0.99))
        results["statuses"].append(crowd.statuses(answers))
        say(
            f"round {number + 1}: peak {peak:,.0f}/s, asked for {results['asked'][-1]:,.0f}/s: {results['good'][-1]:,.0f}/s answered;"
            f" {results['statuses'][-1]}; refusals 99 % in {results['refused_ms'][-1]:.1f} ms")
    return results


def measure():
    keep("shed", {"beside": beside(), "overload": overload()})


def report():
    found, rows, lines = kept("shed"), [], []
    if not found:
        return rows, lines
    quiet, load = found["beside"], found["overload"]
    rows.append(row("(k) p99 of a quiet tenant's read beside 100 times a limit / alone", quiet["over"], quiet["alone"], "ms"))
    rows.append(row("(k) p99 of a quiet tenant's read beside 256 callers / alone", quiet["within"], quiet["alone"], "ms"))
    rows.append(row("(k) answers when asked for three times the peak / peak", load["good"], load["peak"], "1/s"))
    median = statistics.median
    lines += [
        f"\n(k) a limit of {SHARE}/s: asked for {median(quiet['asked']['over']):,.0f}/s, {median(quiet['refused']['over']):.1%} refused;"
        f" 256 callers within theirs: {median(quiet['asked']['within']):,.0f}/s, {median(quiet['refused']['within']):.1%} refused",
        f"(k) three times the peak: {median(load['asked']):,.0f}/s asked for; refusals 99 % in {median(load['refused_ms']):.1f} ms, slowest {max(load['slowest_ms']):.1f} ms,"
        f" {load['silent']} without Retry-After, {load['broken']} never answered;"
        f" sent 99 % within {median(load['late_ms']):.1f} ms of their time",
    ]
    return rows, lines
