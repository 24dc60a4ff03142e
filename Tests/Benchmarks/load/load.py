"""Fills the platform's Postgres with believable data of many languages, the audit log included; `Tests/bench --help` says how it is asked for.

    python3 Tests/Benchmarks/load/load.py tenants=100,leads=100000 postgresql://postgres:…@127.0.0.1:5432/martlet

The schemas are migrated, and no service runs on them. Nothing is random: the same numbers give the same data. Each record is inserted with its
audit, whose entries go from the outbox into the log as the relay and activity would bring them there. A database takes one load.
"""

import base64
import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "martlet-demo"
CHUNK = 50_000
# In the order in which they refer to each other: what is asked for, schema, table, the file.
RESOURCES = [
    ("leads", "crm", "lead", "leads.sql"),
    ("accounts", "crm", "account", "accounts.sql"),
    ("contacts", "crm", "contact", "contacts.sql"),
    ("products", "crm", "product", "products.sql"),
    ("rates", "crm", "exchange_rate", "rates.sql"),
    ("deals", "crm", "deal", "deals.sql"),
    ("notes", "crm", "note", "notes.sql"),
    ("tasks", "crm", "task", "tasks.sql"),
    ("tickets", "support", "ticket", "tickets.sql"),
]
DEFAULTS = {"tenants": 10, "members": 5, "skew": 0, **{name: 0 for name, *_ in RESOURCES}}


def counts(text):
    """What is asked for, `leads=1000,skew=90`, with the defaults."""
    found = dict(DEFAULTS)
    for part in text.split(","):
        name, _, number = part.partition("=")
        if name not in found or not number.isdigit():
            sys.exit(f"'{part}': expected a name and a number, the name one of {', '.join(DEFAULTS)}")
        found[name] = int(number)
    if not 1 <= found["tenants"] <= 100_000 or not 1 <= found["members"] <= 1000:
        sys.exit("expected 1 to 100000 tenants and 1 to 1000 members of each")
    if found["skew"] > 99 or found["skew"] and found["tenants"] < 2:
        sys.exit("skew is the share of the first tenant in percent, up to 99, and there must be others")
    return found


def password_hash():
    def text(value):
        return base64.b64encode(value).decode().rstrip("=")

    salt = hashlib.sha256(b"load").digest()[:16]
    made = hashlib.scrypt(PASSWORD.encode(), salt=salt, n=1 << 15, r=8, p=3, maxmem=1 << 27, dklen=32)
    return f"$scrypt$ln=15,r=8,p=3${text(salt)}${text(made)}"


def begin(wanted, now):
    for name, number in wanted.items():
        yield f"\\set {name} {number}"
    yield f"\\set now '{now}'"
    yield f"\\i {HERE}/begin.sql"


def tenants(wanted):
    yield f"\\set password_hash '{password_hash()}'"
    yield f"\\echo {wanted['tenants']:,} tenants with {wanted['members']} members each"
    yield f"\\i {HERE}/tenants.sql"


def records(wanted, resources):
    """What psql is given; what it echoes is the progress."""
    for name, schema, table, file in resources:
        total = wanted[name]
        if not total:
            continue
        yield f"\\set schema {schema}\n\\set table {table}\n\\set total {total}\nset search_path = {schema}, extensions;"
        for more in (HERE / f"{name}_begin.sql", HERE / "table_begin.sql"):
            if more.exists():
                yield f"\\i {more}"
        for start in range(0, total, CHUNK):
            end = min(start + CHUNK, total)
            yield f"\\set from {start}\n\\set until {end - 1}\n\\i {HERE}/{file}"
            yield f"\\echo {name}: {end:,} of {total:,}"
        for more in (HERE / f"{name}_end.sql", HERE / "table_end.sql"):
            if more.exists():
                yield f"\\i {more}"


def trail():
    yield "\\echo the audit log"
    yield f"\\i {HERE}/trail.sql"
    yield "\\echo done"


def run(parts, url, start):
    """Runs each part in a session of its own, side by side."""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"]
    with tempfile.TemporaryDirectory() as folder:
        sessions = []
        for number, part in enumerate(parts):
            file = pathlib.Path(folder) / f"{number}.sql"
            file.write_text("\n".join(part) + "\n")
            environment = {**os.environ, "PGCLIENTENCODING": "UTF8"}
            sessions.append(subprocess.Popen(command + [str(file)], stdout=subprocess.PIPE, text=True, env=environment))

        def show(session):
            for line in session.stdout:
                print(f"  {time.time() - start:6.1f} s  {line.rstrip()}", flush=True)
            return session.wait()

        with concurrent.futures.ThreadPoolExecutor(len(sessions)) as watchers:
            if any(list(watchers.map(show, sessions))):
                sys.exit("the load broke off; the reason is above, and the database is to be made anew")


def load(text, url):
    wanted, start = counts(text), time.time()
    now = time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(start))
    opening = list(begin(wanted, now))
    run([opening + list(tenants(wanted))], url, start)
    # Leads are most of it, as a rule.
    run([opening + list(records(wanted, part)) for part in (RESOURCES[:1], RESOURCES[1:])], url, start)
    run([opening + list(trail())], url, start)
    print(f"  sign in as admin@load-0.test (the first tenant), password {PASSWORD}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1] != "--help":
        counts(sys.argv[1])  # says what is wrong before anything is started
    elif len(sys.argv) == 3:
        load(sys.argv[1], sys.argv[2])
    else:
        sys.exit(__doc__)
