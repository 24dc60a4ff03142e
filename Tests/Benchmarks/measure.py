"""The measurements of Tests/bench, which starts the parts and calls this with one step after another:

    prepare, database, end_to_end, proxy, report

What a step finds goes to a JSON file in BENCH_FOLDER; `report` puts them together. Measures, asserts nothing.
"""

import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent.parent / "compose"))
sys.dont_write_bytecode = True
import demo  # noqa: E402  (the API client of the demo data)

setting = lambda name: os.environ["BENCH_" + name]  # noqa: E731
folder = pathlib.Path(setting("FOLDER"))
rounds, seconds = int(setting("ROUNDS")), int(setting("SECONDS"))
gateway = f"http://127.0.0.1:{setting('GATEWAY_PORT')}"
tools = pathlib.Path(setting("POSTGRES_PROGRAMS"))
PROCESSES = ["gateway", "identity", "tenant", "crm", "activity", "support"]
TICKS = os.sysconf("SC_CLK_TCK")
CALLERS, PGBENCH_CLIENTS = 64, 16


def say(text):
    print("  " + text, flush=True)


def keep(name, value):
    (folder / f"{name}.json").write_text(json.dumps(value, indent=2))


def kept(name):
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def run(command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 4 + 60, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"Tests/bench: {command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


# --- the tools --------------------------------------------------------------------------------------------------------


def pgbench(script, role, password, lead, variables=()):
    """Transactions a second of one script."""
    facts = kept("facts")
    defines = {"tenant": facts["tenant"], "user": facts["user"], "request": "bench", "lead": lead, **dict(variables)}
    output = run(
        [str(tools / "pgbench"), "-n", "-M", "prepared", "-c", str(PGBENCH_CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(here / "sql" / script)]
        + [part for name, value in defines.items() for part in ("-D", f"{name}={value}")]
        + ["-h", "127.0.0.1", "-p", setting("POSTGRES_PORT"), "-U", role, "martlet"],
        PGPASSWORD=password,
    )
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if failed and int(failed[1]):
        say(f"WARNING: {failed[1]} transactions of {script} failed")
    return float(re.search(r"tps = ([\d.]+)", output)[1])


def wrk(url, script, connections, **environment):
    """What one run of wrk came to: requests, requests a second, and how many answers were not of the 2xx kind."""
    output = run(
        ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "--timeout", "10s", "-s", str(here / "wrk" / script), url],
        **environment,
    )
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: (.*)", output)
    if refused or broken:
        say(f"WARNING: {script} at {url}: {refused[0] if refused else ''} {broken[0] if broken else ''}")
    return {
        "requests": int(re.search(r"(\d+) requests in", output)[1]),
        "per_second": float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1]),
        "refused": int(refused[1]) if refused else 0,
        "p99": re.search(r"99%\s*(\S+)", output)[1],
    }


def process_id(name):
    return int((folder / "run" / f"{name}.pid").read_text().split()[0])


def with_children(pid):
    """A process and its children: nginx's workers are children of its master."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid] + [int(child) for child in children]


def processor_microseconds(name):
    """User and system time of a process and its children so far."""
    ticks = 0
    for pid in with_children(process_id(name)):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1_000_000 / TICKS


def resident_megabytes(name):
    status = pathlib.Path(f"/proc/{process_id(name)}/status").read_text()
    return round(int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) / 1024, 1)


def as_superuser(sql=None, file=None, **variables):
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", setting("POSTGRES_PORT"), "-U", "postgres", "martlet"]
    command += [part for name, value in variables.items() for part in ("-v", f"{name}={value}")]
    return run(command + (["-f", str(file)] if file else ["-c", sql]), PGPASSWORD=setting("SUPERUSER_PASSWORD")).strip()


def token():
    """A fresh one each time it is needed: they last ten minutes."""
    return demo.API(gateway).signed_in("bench@acme.test").token


def settle():
    """Lets the relay empty the outboxes, so that one round does not pay for the round before it; at most a minute."""
    for _ in range(120):
        if as_superuser("select count(*) from (select from crm.outbox limit 1) as waiting") == "0":
            return
        time.sleep(0.5)
    say("WARNING: the outbox of crm is not empty after a minute; the next round shares the machine with the relay")


# --- the steps --------------------------------------------------------------------------------------------------------


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


def end_to_end():
    """(c) through gateway and service, over pgbench running the same SQL with isolation."""
    facts = kept("facts")
    results = {name: {"ours": [], "theirs": [], "refused": 0, "p99": []} for name in ("get", "list", "create")}
    for number in range(rounds):
        for name, result in results.items():
            settle()
            answer = wrk(
                gateway, f"{name}.lua", CALLERS, TOKEN=token(), LEADS=" ".join(facts["leads"]), RUN=f"bench-{number}-{time.time_ns()}"
            )
            settle()
            theirs = pgbench(f"{name}.sql", "martlet_crm", setting("CRM_PASSWORD"), facts["leads"][number])
            result["ours"].append(answer["per_second"])
            result["theirs"].append(theirs)
            result["refused"] += answer["refused"]
            result["p99"].append(answer["p99"])
            say(f"round {number + 1}: {name}: ours {answer['per_second']:,.0f}/s (99 % in {answer['p99']}), pgbench {theirs:,.0f}/s")
    keep("end_to_end", results)
    keep("memory_loaded", {name: resident_megabytes(name) for name in PROCESSES})


def proxy():
    """(b) processor time a proxied request, of the gateway with everything on, over nginx's plain proxy_pass."""
    leads = " ".join(kept("facts")["leads"])
    results = {name: {"cpu_us": [], "per_second": [], "refused": 0} for name in ("gateway", "nginx")}
    for number in range(rounds):
        for name, result in results.items():
            url = gateway if name == "gateway" else f"http://127.0.0.1:{setting('NGINX_PORT')}"
            credentials = token()
            before = processor_microseconds(name)
            answer = wrk(url, "get.lua", 16, TOKEN=credentials, LEADS=leads)
            result["cpu_us"].append((processor_microseconds(name) - before) / answer["requests"])
            result["per_second"].append(answer["per_second"])
            result["refused"] += answer["refused"]
        say(f"round {number + 1}: " + ", ".join(f"{n} {r['cpu_us'][-1]:.1f} µs ({r['per_second'][-1]:,.0f}/s)" for n, r in results.items()))
    keep("proxy", results)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    first = lambda *command: (subprocess.run(command, capture_output=True, text=True).stdout + " ").strip().splitlines()  # noqa: E731
    return {
        "cores": os.cpu_count(), "model": model[1] if model else "unknown", "kernel": os.uname().release,
        "swift": first("swift", "--version")[0], "postgres": first(str(tools / "postgres"), "--version")[0],
        "redis": first("redis-server", "--version")[0].split(" sha")[0], "rounds": rounds, "seconds": seconds,
    }


def row(name, ours, theirs, unit):
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return {"name": name, "ours": round(ours, 1), "theirs": round(theirs, 1), "unit": unit, "ratio": round(ours / theirs, 2)}


def report():
    database, ends, proxy = kept("database"), kept("end_to_end"), kept("proxy")
    rows = []
    if database:
        rows.append(row("(a) get by id, isolated, 64 callers / pgbench, no isolation", database["ours"], database["theirs"], "1/s"))
    if proxy:
        rows.append(row("(b) CPU a proxied request, gateway / nginx", proxy["gateway"]["cpu_us"], proxy["nginx"]["cpu_us"], "µs"))
    for name, title in (("get", "get one lead"), ("list", "list 50 leads"), ("create", "create with audit and key")):
        if ends:
            rows.append(row(f"(c) {title}, end to end / pgbench, same SQL", ends[name]["ours"], ends[name]["theirs"], "1/s"))
    about, ready = machine(), kept("ready")
    memory = {"idle": kept("memory_idle"), "loaded": kept("memory_loaded")}
    print(f"\n{about['model']}, {about['cores']} cores, Linux {about['kernel']}; {about['swift']}; {about['postgres']}; {about['redis']}")
    print(f"medians of {rounds} alternating rounds of {seconds} s\n")
    print(f"{'':62}{'ours':>12}{'theirs':>12}{'':>5}{'ratio':>8}")
    for line in rows:
        print(f"{line['name']:62}{line['ours']:>12,.1f}{line['theirs']:>12,.1f}{line['unit']:>5}{line['ratio']:>8.2f}")
    print(f"\n{'process':12}{'ready in':>12}{'RSS idle':>12}{'RSS loaded':>12}")
    for name in PROCESSES:
        loaded = f"{memory['loaded'][name]:>9.1f} MB" if memory["loaded"] else f"{'-':>12}"
        print(f"{name:12}{ready[name]:>9} ms{memory['idle'][name]:>9.1f} MB{loaded}")
    total = {state: round(sum(values.values()), 1) for state, values in memory.items() if values}
    print(f"{'together':24}{total['idle']:>9.1f} MB" + (f"{total['loaded']:>9.1f} MB" if "loaded" in total else ""))
    result = {
        "machine": about, "ratios": rows, "ready_ms": ready, "memory_mb": memory, "memory_total_mb": total,
        "rounds": {"database": database, "end_to_end": ends, "proxy": proxy},
    }
    pathlib.Path(setting("RESULT")).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    {"prepare": prepare, "database": database, "end_to_end": end_to_end, "proxy": proxy, "report": report}[sys.argv[1]]()
