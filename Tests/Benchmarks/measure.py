"""The measurements of Tests/bench, which starts the parts and calls this with one step after another:

    prepare, database, end_to_end, further, proxy, neighbours, teams, growth, plans, limits, limits_away, connections, unread, shed, addresses,
    files, reload, report

What a step finds goes to a JSON file in BENCH_FOLDER; `report` puts them together. Measures, asserts nothing.
"""

import bisect
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import addresses
import memory
import proxy
import reload
import shed
from tools import (
    CALLERS, PROCESSES, as_superuser, demo, finished_wrk, gateway, here, keep, kept, milliseconds, pgbench, postgres_programs, resident_megabytes, rounds, row, run, say,
    seconds, setting, settle, started_wrk, token, wrk,
)

def prepare():
    """A tenant on the plan enterprise with limits out of the way, and rows like those of a platform with some customers."""
    time.sleep(5)
    keep("memory_idle", {name: resident_megabytes(name) for name in PROCESSES})
    nobody = demo.API(gateway)
    admin = nobody.registered("bench@acme.test", "Bench Admin", organization={"name": "Acme", "slug": "acme"})
    tenant, user = admin.tenant["id"], admin.user["id"]
    operator = nobody.signed_in("operator@martlet.test")
    operator.call("PATCH", f"/v1/platform/tenants/{tenant}", {"plan": "enterprise", "overrides": {"requests_per_second": 1_000_000}})
    say("filling crm.lead")
    as_superuser(file=here / "sql" / "seed.sql", tenant=tenant, tenant_user=user, password=setting("OPEN_PASSWORD"))
    leads = as_superuser(f"select id from crm.lead where tenant_id = '{tenant}' order by md5(id::text) limit 64").split()
    keep("facts", {"tenant": tenant, "user": user, "leads": leads})


def database():
    """(a) our client with forced isolation, over pgbench with none."""
    facts, ours, theirs = kept("facts"), [], []
    for number in range(rounds):
        result = json.loads(
            run(
                [setting("PROGRAM")], BENCH_POSTGRES_PASSWORD=setting("CRM_PASSWORD"), BENCH_TENANT=facts["tenant"],
                BENCH_LEADS=" ".join(facts["leads"]), BENCH_CALLERS=str(CALLERS), BENCH_CONNECTIONS=os.environ.get("BENCH_CONNECTIONS", "8"),
            ).splitlines()[-1]
        )
        ours.append({"per_second": result["queries"] / result["seconds"], "cpu_us": result["cpu_us"] / result["queries"]})
        theirs.append(pgbench("get_open.sql", "martlet_bench", setting("OPEN_PASSWORD"), facts["leads"][number]))
        say(f"round {number + 1}: ours {ours[-1]['per_second']:,.0f}/s ({ours[-1]['cpu_us']:.1f} µs CPU), pgbench {theirs[-1]:,.0f}/s")
    keep("database", {"ours": [r["per_second"] for r in ours], "theirs": theirs, "our_cpu_us": [r["cpu_us"] for r in ours]})


def beside_pgbench(scripts):
    """Requests through gateway and service, and pgbench running the same SQL with isolation: of each name a script for wrk, and what it is told."""
    facts = kept("facts")
    results = {name: {"ours": [], "theirs": [], "refused": 0, "p99": []} for name in scripts}
    for number in range(rounds):
        for name, result in results.items():
            script, told = scripts[name]
            settle()
            answer = wrk(gateway, script, CALLERS, TOKEN=token(), LEADS=" ".join(facts["leads"]), RUN=f"bench-{number}-{time.time_ns()}", **told)
            settle()
            theirs = pgbench(f"{name}.sql", "martlet_crm", setting("CRM_PASSWORD"), facts["leads"][number])
            result["ours"].append(answer["per_second"])
            result["theirs"].append(theirs)
            result["refused"] += answer["refused"]
            result["p99"].append(answer["p99"])
            say(f"round {number + 1}: {name}: ours {answer['per_second']:,.0f}/s (99 % in {answer['p99']}), pgbench {theirs:,.0f}/s")
    return results


def end_to_end():
    """(c) what most requests are."""
    keep("end_to_end", beside_pgbench({name: (f"{name}.lua", {}) for name in ("get", "list", "create", "patch")}))
    keep("memory_loaded", {name: resident_megabytes(name) for name in PROCESSES})


# (g) What else there is: of each name the method, the path and the body.
FURTHER = {
    "range": ("GET", "/v1/leads?limit=50&score[gte]=90&sort=score", ""),
    "expand": ("GET", "/v1/contacts?limit=50&expand=account", ""),
    "upsert": ("PUT", "/v1/leads/by-external-id/bench-@", '{"last_name":"Fischer","company":"Kestrel Freight","score":@}'),
}


def further():
    facts = kept("facts")
    say("filling crm.account and crm.contact")
    as_superuser(file=here / "sql" / "fill_further.sql", tenant=facts["tenant"], user=facts["user"])
    keep("further", beside_pgbench({name: ("any.lua", {"METHOD": m, "PATHTO": p, "BODY": b}) for name, (m, p, b) in FURTHER.items()}))


# What a tenant asks for again and again while another reads one lead: (name, callers, method, path, body).
def noises(facts):
    batch = {"operations": [{"op": "update", "id": facts["large_lead"], "body": {"score": "@"}}] * 200}
    return [
        ("q=common&count=exact", 8, "GET", "/v1/leads?q=common&count=exact", ""),
        ("tag=zzz", 8, "GET", "/v1/leads?tag=zzz", ""),
        ("PATCH of one lead", 64, "PATCH", f"/v1/leads/{facts['large_lead']}", '{"score":@}'),
        ("ticket creates", 64, "POST", "/v1/tickets", '{"subject":"The export stops at row @"}'),
        ("batches of 200", 8, "POST", "/v1/leads/batch", json.dumps(batch).replace('"@"', "@")),
    ]


# Every filter with the usual order and with another, every order, and searches: of leads and of tickets.
LISTS = {
    "leads": [
        "", "sort=last_name", "sort=-company", "sort=-score", "sort=-updated_at", "status=new", "status=new,qualified", "status=unqualified&sort=last_name",
        "owner_id={user}", "owner_id={user}&sort=-score", "source=web", "source=zzz", "source=rare&sort=company", "tag=emea", "tag=zzz", "tag=rare&sort=last_name",
        "custom.tier=gold", "custom.region=r7", "custom.tier=zzz&sort=score", "company=Company%207", "email=PERSON7@host7.example", "score=7",
        "score=7&sort=last_name", "score[gte]=95", "score[gte]=95&sort=last_name", "status[not]=new", "source[not]=web&sort=company",
        "owner_id[null]=true", "email[null]=true&sort=last_name", "last_name[prefix]=per", "company[prefix]=company%2077&sort=-score", "deleted=include&sort=company",
        "status=new&tag=emea&source=web", "created_at[gt]=2020-01-01T00:00:00Z&status=new", "deleted=only", "deleted=only&sort=last_name",
        "q=common", "q=na", "q=common&sort=last_name", "q=unusual", "q=zzz", "q=na%20common", "q=smith-jo", "q=host7.example", "q=common%20-even", "q=common&tag=rare",
    ],
    "tickets": [
        "", "sort=number", "sort=-updated_at", "status=open", "status=open,pending&sort=number", "priority=urgent", "priority=low&sort=number", "channel=web",
        "assignee_id={user}", "assignee_id={user}&sort=number", "assignee_id[null]=true", "number[lt]=20", "tag=zzz", "tag=rare", "custom.tier=t7", "number=1000007", "q=common", "q=na", "q=unusual", "q=1000007",
    ],
}
COUNTS = ["leads?count=exact&limit=1", "leads?count=exact&status=new&limit=1", "leads?count=exact&q=common&limit=1", "tickets?count=exact&limit=1"]


def medians(caller, user, queries):
    """The median time of each query in milliseconds, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", int(setting("GATEWAY_PORT")), timeout=60)
    headers, found = {"Authorization": "Bearer " + caller.token}, {}
    for query in queries:
        times = []
        for _ in range(24):
            start = time.perf_counter()
            connection.request("GET", "/v1/" + query.replace("{user}", user), headers=headers)
            answer = connection.getresponse()
            answer.read()
            times.append((time.perf_counter() - start) * 1000)
            if answer.status != 200:
                say(f"WARNING: {query} answered {answer.status}")
                break
        # The first ones plan, and fill caches.
        found[query] = statistics.median(times[4:] or times)
    connection.close()
    return found


def neighbours():
    """(d) What one tenant does, beside what another gets; (e) what a list costs in a large tenant, and in a small one beside it."""
    operator, people = demo.API(gateway).signed_in("operator@martlet.test"), {}
    for name in ("large", "small"):
        person = demo.API(gateway).registered(f"{name}@acme.test", name, organization={"name": name, "slug": f"bench-{name}"})
        operator.call("PATCH", f"/v1/platform/tenants/{person.tenant['id']}", {"plan": "enterprise", "overrides": {"requests_per_second": 1_000_000}})
        people[name] = person
    signed_in = lambda name: demo.API(gateway).signed_in(f"{name}@acme.test")  # noqa: E731

    def fill(name, count, beside):
        facts = {"tenant": people[name].tenant["id"], "user": people[name].user["id"], "count": count, "beside": beside, "owners": 50}
        with concurrent.futures.ThreadPoolExecutor() as both:
            for done in [both.submit(as_superuser, file=here / "sql" / file, **facts) for file in ("fill_leads.sql", "fill_tickets.sql")]:
                done.result()
        # After both: what the one has written is not visible to all while the other is at work, and a count would read every row.
        for table in ("crm.lead", "support.ticket"):
            as_superuser(f"vacuum analyze {table}")

    queries = [f"{resource}?{query}" for resource, all in LISTS.items() for query in all] + COUNTS
    fill("small", 200, "false")
    small = signed_in("small")
    alone = medians(small, small.user["id"], queries)
    say(f"filling a tenant with {int(setting('LARGE')):,} leads and tickets, and as many rows of others")
    start = time.time()
    fill("large", int(setting("LARGE")), "true")
    say(f"filled in {time.time() - start:.0f} s")
    large, small = signed_in("large"), signed_in("small")
    found = {"alone": alone, "beside": medians(small, small.user["id"], queries), "large": medians(large, large.user["id"], queries)}
    facts = {"large_lead": large.call("POST", "/v1/leads", {"last_name": "Hot"})["id"]}
    lead = small.call("POST", "/v1/leads", {"last_name": "Quiet"})["id"]
    # A record with as much in its own fields as there may be: what changes beside it is small, whatever it weighs.
    large.call("PATCH", f"/v1/leads/{facts['large_lead']}", {"custom": {f"k{n}": "x" * 900 for n in range(50)}})
    read = lambda: wrk(gateway, "get.lua", 1, TOKEN=signed_in("small").token, LEADS=lead)  # noqa: E731
    quiet = {"alone": [], **{name: [] for name, *_ in noises(facts)}}
    held = {"before": resident_megabytes("crm")}
    for number in range(rounds):
        quiet["alone"].append(milliseconds(read()["p99"]))
        for name, callers, method, path, body in noises(facts):
            told = {"TOKEN": signed_in("large").token, "METHOD": method, "PATHTO": path, "BODY": body}
            noise = started_wrk(gateway, "any.lua", callers, seconds + 2, **told)
            time.sleep(1)
            quiet[name].append(milliseconds(read()["p99"]))
            if refused := finished_wrk(noise, seconds + 2)["refused"]:
                say(f"WARNING: {name}: {refused} answers not of the 2xx kind")
            held[name] = resident_megabytes("crm")
            settle()
        say(f"round {number + 1}: p99 of a quiet tenant's read, ms: " + ", ".join(f"{name} {values[-1]:.1f}" for name, values in quiet.items()))
    say("memory of crm, MB: " + ", ".join(f"{name} {size:.0f}" for name, size in held.items()))
    keep("neighbours", {"quiet_p99_ms": quiet, "crm_mb": held, "lists_ms": found, "rows": int(setting("LARGE"))})


# (f) Of each name the script, who sends it, and the title.
TEAMS = {
    "get": ("get.lua", "seller@acme.test", "get one lead, scope team"),
    "list": ("list.lua", "seller@acme.test", "list 50, scope team, of 20"),
    "twelve": ("list.lua", "lonely@acme.test", "list, scope team, with 12 leads"),
    "ruled_get": ("get.lua", "ruled@acme.test", "get one lead, two fields hidden"),
    "ruled_list": ("list.lua", "ruled@acme.test", "list 50, two fields hidden"),
}


def teams():
    """(f) Reads by one of 10,000 members in 500 teams under the row scope team, and under field rules, over the same reads under neither."""
    admin = demo.API(gateway).registered("teams@acme.test", "Admin", organization={"name": "Teams", "slug": "bench-teams"})
    operator = demo.API(gateway).signed_in("operator@martlet.test")
    operator.call("PATCH", f"/v1/platform/tenants/{admin.tenant['id']}", {"plan": "enterprise", "overrides": {"requests_per_second": 1_000_000}})
    admin = demo.API(gateway).signed_in("teams@acme.test")
    admin.call("POST", "/v1/roles", {"name": "ruled", "permissions": ["leads.read"], "fields": {"leads": {"email": "hidden", "score": "hidden"}}})
    sellers = {}
    for name, role in (("seller", "sales"), ("lonely", "sales"), ("ruled", "ruled")):
        email = f"{name}@acme.test"
        sellers[name] = demo.API(gateway).registered(email, name, invitation_token=demo.invite(admin, email, role))
    member, lonely = sellers["seller"], sellers["lonely"].user["id"]
    tenant, large = admin.tenant["id"], int(setting("LARGE"))
    say(f"filling a tenant with {large:,} leads of 10,000 members")
    settle()
    while as_superuser(f"select count(*) from crm.member_copy where user_id = '{lonely}'") == "0":
        time.sleep(0.1)
    as_superuser(file=here / "sql" / "fill_leads.sql", tenant=tenant, user=member.user["id"], count=large, beside="true", owners=10000)
    # Without it the next statement is planned for a table of a few rows, and reads it once for each lead that it gives away.
    as_superuser("analyze crm.lead")
    # Twelve leads of his own, and twelve of one whose team has no others.
    as_superuser(
        f"set session_replication_role = replica; update crm.lead set owner_id = case when n <= 12 then '{lonely}'::uuid else md5('1')::uuid end"
        f" from (select id, row_number() over (order by id) - 12 as n from crm.lead where tenant_id = '{tenant}' and owner_id = '{member.user['id']}') as own"
        f" where tenant_id = '{tenant}' and lead.id = own.id and n > 0")
    as_superuser(file=here / "sql" / "fill_teams.sql", tenant=tenant, member=member.user["id"], lonely=lonely)
    as_superuser("vacuum analyze crm.lead")
    team = f"select user_id from crm.team_member_copy where tenant_id = '{tenant}' and team_id = md5('team 7')::uuid"
    leads = as_superuser(f"select id from crm.lead where tenant_id = '{tenant}' and owner_id in ({team}) order by md5(id::text) limit 64")
    results = {name: {"ours": [], "theirs": []} for name in TEAMS}
    for number in range(rounds):
        for name, result in results.items():
            script, seller, _ = TEAMS[name]
            for caller, side in ((seller, "ours"), ("teams@acme.test", "theirs")):
                found = wrk(gateway, script, CALLERS, TOKEN=demo.API(gateway).signed_in(caller).token, LEADS=" ".join(leads.split()))
                result[side].append(found["per_second"])
            say(f"round {number + 1}: {name}: member {result['ours'][-1]:,.0f}/s, all {result['theirs'][-1]:,.0f}/s")
    keep("teams", results)


# (h) What is read of 10 tenants and of 1,000, each with 1,000 leads and 300 deals.
GROWTH = [
    "leads/{lead}", "leads", "leads?sort=last_name", "leads?sort=-score", "leads?sort=company", "leads?sort=-updated_at", "leads?status=qualified",
    "leads?status[not]=new&sort=score", "leads?source=partner", "leads?source=zzz", "leads?tag=renewal", "leads?tag=zzz", "leads?owner_id={user}",
    "leads?owner_id[null]=true", "leads?custom.tier=gold", "leads?score[gte]=95", "leads?email[prefix]=a", "leads?company=Company", "leads?q=freight", "leads?q=ma",
    "leads?q=zzz", "leads?deleted=only", "leads?count=exact&limit=1", "deals/{deal}", "deals", "deals?sort=-amount_minor", "deals?sort=expected_close_on",
    "deals?status=open", "deals?status=won&sort=amount_minor", "deals?stage_id={stage}", "deals?pipeline_id={pipeline}", "deals?owner_id={user}",
    "deals?amount_minor[gte]=4900000", "deals?expected_close_on[lt]=2026-01-01", "deals?closed_at[null]=true", "deals?tag=renewal", "deals?q=ma", "deals/{deal}/stages",
    "reports/forecast", "reports/forecast?period=quarter&group=owner&periods=8", "reports/forecast?as_of={day}", "me/today",
]
# (h) Of each name what is asked for, of deals and of leads: the script and what it is told.
ALIKE = {
    "get": ("get.lua", {"deals": {}, "leads": {}}),
    "list": ("any.lua", {name: {"METHOD": "GET", "PATHTO": f"/v1/{name}?limit=50", "BODY": ""} for name in ("deals", "leads")}),
    "create": ("any.lua", {
        "deals": {"METHOD": "POST", "PATHTO": "/v1/deals", "BODY": '{"name":"Kestrel: 40 seats","amount_minor":48@,"currency":"EUR","tags":["renewal"]}'},
        "leads": {"METHOD": "POST", "PATHTO": "/v1/leads", "BODY": '{"first_name":"Greta","last_name":"Fischer","company":"Kestrel Freight","score":@,"tags":["renewal"]}'},
    }),
}


def growth():
    """(h) one of many tenants: the same reads, whatever there is of others. Called once with few of them and once with many; deals beside leads."""
    before = kept("growth")
    operator = demo.API(gateway).signed_in("operator@martlet.test")
    admin = demo.API(gateway).signed_in("admin@load-0.test")
    operator.call("PATCH", f"/v1/platform/tenants/{admin.tenant['id']}", {"plan": "enterprise", "overrides": {"requests_per_second": 1_000_000}})
    admin = demo.API(gateway).signed_in("admin@load-0.test")
    of = lambda name: admin.call("GET", f"/v1/{name}?limit=64")["data"]  # noqa: E731
    leads, deals = of("leads"), of("deals")
    values = {
        "lead": leads[0]["id"], "deal": deals[0]["id"], "stage": deals[0]["stage_id"], "pipeline": deals[0]["pipeline_id"], "user": admin.user["id"],
        "day": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 30 * 86400)),
    }
    fill = lambda query: re.sub(r"{(\w+)}", lambda found: values[found[1]], query)  # noqa: E731
    times = medians(admin, admin.user["id"], [fill(query) for query in GROWTH])
    found = dict(zip(GROWTH, times.values()))
    if not before:
        return keep("growth", {"few": found})
    results = {name: {"ours": [], "theirs": []} for name in ALIKE}
    ids = {"deals": " ".join(deal["id"] for deal in deals), "leads": " ".join(lead["id"] for lead in leads)}
    for number in range(rounds):
        for name, result in results.items():
            script, told = ALIKE[name]
            for resource, side in (("deals", "ours"), ("leads", "theirs")):
                settle()
                caller = demo.API(gateway).signed_in("admin@load-0.test").token
                answer = wrk(gateway, script, CALLERS, TOKEN=caller, LEADS=ids[resource], RESOURCE=resource, **told[resource])
                result[side].append(answer["per_second"])
            say(f"round {number + 1}: {name}: deals {result['ours'][-1]:,.0f}/s, leads {result['theirs'][-1]:,.0f}/s")
    keep("growth", {**before, "many": found, "deals": results})


# (i) As the tenant's limit says, at how many requests a second, for how long.
LIMIT, PERIOD, ASKED, LENGTH = 1000, 60, 200, 150


def plans():
    """The plans as shipped, but that tenants of the first have the limit of (i) and their users none that matters."""
    shipped = json.loads((here.parent.parent / "Services/Tenant/Plans/plans.json").read_text())
    shipped[0]["rate"] = {"tenant": [LIMIT, PERIOD], "user": [1_000_000, 1]}
    print(json.dumps(shipped))


def limits(name="limits"):
    """(i) What a limit admits in any window of its length, over two gateways that are asked for far more."""
    person = demo.API(gateway).registered(f"{name}@acme.test", name, organization={"name": name, "slug": name.replace("_", "-")})
    headers = {"Authorization": "Bearer " + person.token}
    start, callers, statuses = time.monotonic() + 1, 8, {}

    def call(number):
        """One after another, paced by the clock; of each when it was sent, when it was answered, and the status."""
        port, found, turn = setting("GATEWAY_PORT" if number % 2 else "GATEWAY_2_PORT"), [], number / callers
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
        while (due := start + turn * callers / ASKED) < start + LENGTH:
            time.sleep(max(0, due - time.monotonic()))
            sent = time.monotonic()
            connection.request("GET", "/v1/leads?limit=1", headers=headers)
            answer = connection.getresponse()
            answer.read()
            found.append((sent, time.monotonic(), answer.status))
            turn += 1
        connection.close()
        return found

    with concurrent.futures.ThreadPoolExecutor(callers) as threads:
        answers = sorted((answer for found in threads.map(call, range(callers)) for answer in found), key=lambda answer: answer[1])
    for answer in answers:
        statuses[answer[2]] = statuses.get(answer[2], 0) + 1
    admitted = [answer for answer in answers if answer[2] == 200]
    ends = [end for _, end, _ in admitted]
    inside = lambda begin: bisect.bisect_left(ends, begin + PERIOD) - bisect.bisect_left(ends, begin)  # noqa: E731
    # The windows that begin with an answer or just after one are the fullest and the emptiest there are.
    windows = [inside(begin) for end in [start] + ends for begin in (end, end + 1e-6) if start <= begin <= start + LENGTH - PERIOD]
    # More than the limit for certain: all of them were sent and answered within one window.
    over = sum(1 for first, last in zip(admitted, admitted[LIMIT:]) if last[1] - first[0] < PERIOD)
    say(f"{name}: {len(answers):,} asked, {statuses}; windows of {PERIOD} s hold {min(windows)} to {max(windows)} of {LIMIT}; surely over it: {over}")
    keep(name, {"asked": len(answers), "statuses": statuses, "least": min(windows), "most": max(windows), "surely_over": over})


def limits_away():
    """(i) The same; Redis is stopped and started meanwhile."""
    limits("limits_away")


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    first = lambda *command: (subprocess.run(command, capture_output=True, text=True).stdout + " ").strip().splitlines()  # noqa: E731
    return {
        "cores": os.cpu_count(), "model": model[1] if model else "unknown", "kernel": os.uname().release,
        "swift": first("swift", "--version")[0], "postgres": first(str(postgres_programs / "postgres"), "--version")[0],
        "redis": first("redis-server", "--version")[0].split(" sha")[0], "rounds": rounds, "seconds": seconds,
    }


# The parts that are files of their own.
GATEWAY = (proxy, memory, shed, addresses, reload)


def report():
    database, ends = kept("database"), kept("end_to_end")
    rows = []
    if database:
        rows.append(row("(a) get by id, isolated, 64 callers / pgbench, no isolation", database["ours"], database["theirs"], "1/s"))
    for name, title in (
        ("get", "get one lead"), ("list", "list 50 leads"), ("create", "create with audit and key"), ("patch", "change one member"),
    ):
        if ends:
            rows.append(row(f"(c) {title}, end to end / pgbench, same SQL", ends[name]["ours"], ends[name]["theirs"], "1/s"))
    others = kept("further")
    for name, title in (("range", "50 leads of a range"), ("expand", "50 contacts with accounts"), ("upsert", "upsert that changes")):
        if others:
            rows.append(row(f"(g) {title}, end to end / pgbench, same SQL", others[name]["ours"], others[name]["theirs"], "1/s"))
    beside = kept("neighbours")
    if beside:
        quiet = beside["quiet_p99_ms"]
        for name in [name for name in quiet if name != "alone"]:
            rows.append(row(f"(d) p99 of a quiet tenant's read beside {name} / alone", quiet[name], quiet["alone"], "ms"))
    scoped = kept("teams")
    for name, (_, _, title) in TEAMS.items():
        if scoped:
            rows.append(row(f"(f) {title} / all of it", scoped[name]["ours"], scoped[name]["theirs"], "1/s"))
    grown = kept("growth")
    for name, title in (("get", "get one"), ("list", "list 50"), ("create", "create")):
        if grown:
            rows.append(row(f"(h) {title}, of deals / of leads", grown["deals"][name]["ours"], grown["deals"][name]["theirs"], "1/s"))
    reports = [part.report() for part in GATEWAY]
    rows = sorted(rows + [line for found, _ in reports for line in found], key=lambda line: line["name"][:3])
    about, ready = machine(), kept("ready")
    held = {"idle": kept("memory_idle"), "loaded": kept("memory_loaded")}
    print(f"\n{about['model']}, {about['cores']} cores, Linux {about['kernel']}; {about['swift']}; {about['postgres']}; {about['redis']}")
    print(f"medians of {rounds} alternating rounds of {seconds} s\n")
    print(f"{'':66}{'ours':>12}{'theirs':>12}{'':>5}{'ratio':>8}")
    for line in rows:
        print(f"{line['name']:66}{line['ours']:>12,.1f}{line['theirs']:>12,.1f}{line['unit']:>5}{line['ratio']:>8.2f}")
    if beside:
        lists = beside["lists_ms"]
        print(f"\n(e) lists, median ms{'':42}{'200 alone':>10}{'200 beside':>11}{beside['rows']:>10,}{'beside/alone':>14}{'large/small':>12}")
        for query, large in lists["large"].items():
            small, alone = lists["beside"][query], lists["alone"][query]
            print(f"{query:62}{alone:>10.2f}{small:>11.2f}{large:>10.2f}{small / alone:>14.2f}{large / small:>12.2f}")
    if grown:
        print(f"\n(h) reads of one of so many tenants, median ms{'':17}{'10':>10}{'1,000':>10}{'ratio':>8}")
        for query, many in grown["many"].items():
            few = grown["few"][query]
            print(f"{query:62}{few:>10.2f}{many:>10.2f}{many / few:>8.2f}")
    for name, title in (("limits", "Redis there"), ("limits_away", "Redis away for 20 s, then empty")):
        if limited := kept(name):
            print(f"(i) {LIMIT:,} in {PERIOD} s, two gateways, {title}: {limited['least']} to {limited['most']} admitted in any window, of {limited['asked']:,} asked in {LENGTH} s")
    for _, lines in reports:
        for line in lines:
            print(line)
    print(f"\n{'process':12}{'ready in':>12}{'RSS idle':>12}{'RSS loaded':>12}")
    for name in PROCESSES:
        loaded = f"{held['loaded'][name]:>9.1f} MB" if held["loaded"] else f"{'-':>12}"
        print(f"{name:12}{ready[name]:>9} ms{held['idle'][name]:>9.1f} MB{loaded}")
    total = {state: round(sum(values.values()), 1) for state, values in held.items() if values}
    print(f"{'together':24}{total['idle']:>9.1f} MB" + (f"{total['loaded']:>9.1f} MB" if "loaded" in total else ""))
    result = {
        "machine": about, "ratios": rows, "ready_ms": ready, "memory_mb": held, "memory_total_mb": total,
        "rounds": {
            "database": database, "end_to_end": ends, "further": others, "neighbours": beside, "teams": scoped, "growth": grown, "limits": [kept("limits"), kept("limits_away")],
            **{name: kept(name) for name in ("proxy", "connections", "unread", "shed", "addresses", "reload")},
        },
    }
    pathlib.Path(setting("RESULT")).write_text(json.dumps(result, indent=2) + "\n")


STEPS = {
    "prepare": prepare, "database": database, "end_to_end": end_to_end, "further": further, "neighbours": neighbours, "teams": teams, "growth": growth,
    "plans": plans, "limits": limits, "limits_away": limits_away, "proxy": proxy.measure, "connections": memory.connections, "unread": memory.unread,
    "shed": shed.measure, "addresses": addresses.measure, "files": reload.prepare, "reload": reload.measure, "report": report,
}

if __name__ == "__main__":
    STEPS[sys.argv[1]]()
