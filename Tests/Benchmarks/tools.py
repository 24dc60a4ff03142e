"""What the measurements of Tests/bench share: what it tells them, where figures are kept, the programs that make load, and what processes cost."""

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
postgres_programs = pathlib.Path(setting("POSTGRES_PROGRAMS"))
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600 if command[0] == "psql" else seconds * 4 + 60, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"Tests/bench: {command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def pgbench(script, role, password, lead, variables=()):
    """Transactions a second of one script."""
    facts = kept("facts")
    defines = {"tenant": facts["tenant"], "user": facts["user"], "request": "bench", "lead": lead, **dict(variables)}
    output = run(
        [str(postgres_programs / "pgbench"), "-n", "-M", "prepared", "-c", str(PGBENCH_CLIENTS), "-j", "2", "-T", str(seconds), "-f", str(here / "sql" / script)]
        + [part for name, value in defines.items() for part in ("-D", f"{name}={value}")]
        + ["-h", "127.0.0.1", "-p", setting("POSTGRES_PORT"), "-U", role, "martlet"],
        PGPASSWORD=password,
    )
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if failed and int(failed[1]):
        say(f"WARNING: {failed[1]} transactions of {script} failed")
    return float(re.search(r"tps = ([\d.]+)", output)[1])


def started_wrk(url, script, connections, length, **environment):
    """A run of wrk that goes on beside other things; what it came to says `finished_wrk`."""
    return subprocess.Popen(
        ["wrk", "-t", "1", "-c", str(connections), "-d", f"{length}s", "--latency", "--timeout", "10s", "-s", str(here / "wrk" / script), url],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment})


def finished_wrk(process, length):
    """What one run of wrk came to: requests, requests a second, how many answers were not of the 2xx kind, and how many did not come."""
    try:
        output = process.communicate(timeout=length * 4 + 60)[0]
    finally:
        process.kill()
    if process.returncode:
        sys.exit(f"Tests/bench: wrk failed:\n{output}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: (.*)", output)
    return {
        "requests": int(re.search(r"(\d+) requests in", output)[1]),
        "per_second": float(re.search(r"Requests/sec:\s*([\d.]+)", output)[1]),
        "refused": int(refused[1]) if refused else 0,
        "broken": sum(map(int, re.findall(r"\d+", broken[1]))) if broken else 0,
        "p99": re.search(r"99%\s*(\S+)", output)[1],
    }


def wrk(url, script, connections, **environment):
    """One run of wrk, in which nothing should be refused."""
    answer = finished_wrk(started_wrk(url, script, connections, seconds, **environment), seconds)
    if answer["refused"] or answer["broken"]:
        say(f"WARNING: {script} at {url}: {answer['refused']} answers not of the 2xx kind, {answer['broken']} broken")
    return answer


def milliseconds(text):
    return float(re.match(r"[\d.]+", text)[0]) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[re.sub(r"[\d.]", "", text)]


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


def resident_megabytes(name, line="VmRSS"):
    """What a process holds now; with VmHWM the most that it has held."""
    status = pathlib.Path(f"/proc/{process_id(name)}/status").read_text()
    return round(int(re.search(line + r":\s*(\d+) kB", status)[1]) / 1024, 1)


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


def row(name, ours, theirs, unit):
    """A line of the report: the medians of two, and their ratio."""
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    return {"name": name, "ours": round(ours, 1), "theirs": round(theirs, 1), "unit": unit, "ratio": round(ours / theirs, 2)}
