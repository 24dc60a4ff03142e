"""Loads the demo data of Martlet through its public API; compose/README.md says who and what there is.

    python3 compose/demo.py http://127.0.0.1:8080

Everything is derived from fixed lists, and each batch of records carries an Idempotency-Key, so a load that broke off is
simply repeated. The operator must exist (`martlet-identity operator create`).
"""

import datetime
import json
import sys
import time
import urllib.error
import urllib.request

PASSWORD = "martlet-demo"
BATCH = 100  # records a request; the API takes up to 200

TENANTS = [
    # slug, name, plan, leads, tickets, contacts, deals
    ("acme", "Acme Industrial", "enterprise", 200, 40, 60, 60),
    ("globex", "Globex Logistics", "pro", 50, 12, 20, 15),
    ("initech", "Initech Software", "free", 20, 5, 8, 6),
]
PEOPLE_OF_ACME = [
    # local part, name, role
    ("manager", "Mara Lindqvist", "manager"),
    ("sales", "Samuel Okafor", "sales"),
    ("support", "Sofia Marino", "support"),
    ("viewer", "Viktor Hahn", "read_only"),
]

FIRST = "Ada Bruno Chiara David Elif Farid Greta Hugo Ines Jonas Keiko Luca Maren Noor Olga Pablo Quentin Rosa Sanjay Tove".split()
LAST = "Abbott Berger Castro Duarte Eriksen Fischer Greco Haddad Ivanova Jensen Kowalski Laurent Moretti Novak Osei Petrov Ramos".split()
COMPANIES = [
    "Northwind Turbines", "Halden Paper", "Brightwater Foods", "Solera Optics", "Kestrel Freight", "Marlow Textiles", "Vantage Robotics",
    "Oakridge Dental", "Blue Fjord Energy", "Castellan Security", "Pinnacle Coatings", "Riverside Hospital", "Tandem Cycles",
]
# Of each company in its place: industry, employees, annual revenue in millions, currency.
BUSINESS = [
    ("Energy", 5200, 1900, "EUR"), ("Paper", 340, 85, "EUR"), ("Food", 1200, 310, "GBP"), ("Optics", 95, 14, "EUR"), ("Logistics", 2400, 520, "EUR"),
    ("Textiles", 180, 22, "GBP"), ("Machinery", 610, 140, "USD"), ("Health", 45, 6, "USD"), ("Energy", 430, 75, "NOK"), ("Security", 270, 31, "USD"),
    ("Chemicals", 520, 98, "CHF"), ("Health", 1900, 260, "USD"), ("Bicycles", 60, 900, "JPY"),
]
SUBSIDIARIES = {8: 0, 10: 0}  # each company's place, and that of the one above
CITIES = [("Hamburg", "DE", "+4940"), ("Lyon", "FR", "+33472"), ("Turin", "IT", "+39011"), ("Leeds", "GB", "+44113"), ("Austin", "US", "+1512")]
TITLES = ["Head of Procurement", "Operations Manager", "IT Director", "Founder", "Plant Manager", "Controller"]
SOURCES = ["website", "referral", "trade fair", "outbound", "partner"]
STATUSES = ["new", "new", "contacted", "contacted", "qualified", "unqualified"]
TAGS = ["priority", "newsletter", "emea", "renewal", "trial"]
SUBJECTS = [
    "Invoice shows the old address", "Cannot export the pipeline to CSV", "Password mail never arrives", "Duplicate contacts after the import",
    "Question about the enterprise plan", "Webhook deliveries are delayed", "Dashboard total does not match the list",
]
# Name, article number, price in USD, EUR and JPY in their smallest units, tax in percent.
PRODUCTS = [
    ("Turbine inspection", "TI-200", 135_000, 125_000, 19_800, "19"), ("Remote monitoring, a year", "RM-12", 480_000, 444_000, 69_900, "19"),
    ("Spare blade", "SB-7", 2_150_000, 1_990_000, 3_150_000, "19"), ("Operator training, a day", "OT-1", 98_000, 90_500, 142_000, "7"),
    ("Gearbox oil, a litre", "GO-1", 1_850, 1_715, 2_690, "19"), ("Emergency call-out", "EC-1", 260_000, 240_000, 379_000, "19"),
    ("Handbook, printed", "HB-3", 4_900, 4_500, 7_100, "7"), ("Access to the portal, a seat", "AP-1", 3_900, 3_600, 5_700, "19"),
]
# What a unit was worth in USD, from the first of the year and of July on.
RATES = {"EUR": ("1.0842", "1.1023"), "GBP": ("1.2718", "1.2951"), "CHF": ("1.1203", "1.1377"), "NOK": ("0.0917", "0.0932"), "JPY": ("0.0064", "0.0067")}
PRIORITIES = ["normal", "low", "high", "normal", "urgent"]
CHANNELS = ["email", "web", "phone", "chat"]


class Refused(Exception):
    """An answer with a status that the loader did not expect."""

    def __init__(self, method, path, status, body):
        super().__init__(f"{method} {path} answered {status}: {body}")
        self.status = status


class API:
    """One caller of the API: nobody, or who the answer to a sign-in says."""

    def __init__(self, url, tokens=None):
        self.url, self.token = url, tokens and tokens["access_token"]
        self.user, self.tenant = (tokens["user"], tokens["tenant"]) if tokens else (None, None)

    def call(self, method, path, body=None, key=None, tries=8):
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refusal:
            text = refusal.read().decode(errors="replace")
            # Too early or too busy; a reminder of a second or two. A longer wait is for a person to decide.
            wait = float(refusal.headers.get("Retry-After") or 1)
            if refusal.code in (429, 503) and tries and wait <= 10:
                time.sleep(wait)
                return self.call(method, path, body, key, tries - 1)
            raise Refused(method, path, refusal.code, text) from None

    def signed_in(self, email):
        return API(self.url, self.call("POST", "/v1/auth/login", {"email": email, "password": PASSWORD}))

    def registered(self, email, name, **how):
        """Registers, or signs in who is registered already."""
        body = {"email": email, "password": PASSWORD, "name": name, **how}
        try:
            return API(self.url, self.call("POST", "/v1/auth/register", body))
        except Refused as refusal:
            if refusal.status != 409:
                raise
            return self.signed_in(email)


def invite(admin, email, role):
    """The invitation's token, which is shown once: what a load that broke off has left is withdrawn."""
    for left in admin.call("GET", "/v1/invitations?limit=200")["data"]:
        if left["email"] == email and left["status"] == "open":
            admin.call("DELETE", f"/v1/invitations/{left['id']}")
    return admin.call("POST", "/v1/invitations", {"email": email, "role": role})["token"]


def lead(tenant, number, owners):
    first, last = FIRST[number % len(FIRST)], LAST[number % len(LAST)]
    company = COMPANIES[number * 7 % len(COMPANIES)]
    domain = company.lower().replace(" ", "-") + ".example"
    city, country, prefix = CITIES[number % len(CITIES)]
    return {
        "first_name": first, "last_name": last, "company": company, "title": TITLES[number % len(TITLES)],
        "email": f"{first}.{last}.{number}@{domain}".lower(), "phone": f"{prefix}55501{number:02d}", "website": f"https://{domain}",
        "source": SOURCES[number * 3 % len(SOURCES)], "status": STATUSES[number * 5 % len(STATUSES)], "score": number * 37 % 101,
        "tags": sorted({TAGS[number % len(TAGS)], TAGS[number * 2 % len(TAGS)]}),
        "address": {"city": city, "country": country},
        "description": f"Asked {tenant} about {TITLES[number * 5 % len(TITLES)].lower()} seats for {company}.",
        **({"owner_id": owners[number % len(owners)]} if owners else {}),
    }


def account(number, owners):
    name, (industry, employees, revenue, currency) = COMPANIES[number], BUSINESS[number]
    domain = name.lower().replace(" ", "-") + ".example"
    city, country, prefix = CITIES[number % len(CITIES)]
    return {
        "name": name, "domain": domain, "industry": industry, "employees": employees,
        "annual_revenue_minor": revenue * 1_000_000 * (1 if currency == "JPY" else 100), "currency": currency,
        "phone": f"{prefix}55502{number:02d}", "website": f"https://{domain}", "status": ["customer", "prospect", "customer", "former"][number % 4],
        "tags": [TAGS[number % len(TAGS)]], "address": {"city": city, "country": country},
        **({"owner_id": owners[number % len(owners)]} if owners else {}),
    }


def contact(number, accounts, owners):
    first, last = FIRST[number * 3 % len(FIRST)], LAST[number * 5 % len(LAST)]
    place = number % len(accounts)
    domain = COMPANIES[place].lower().replace(" ", "-") + ".example"
    city, country, prefix = CITIES[place % len(CITIES)]
    return {
        "first_name": first, "last_name": last, "account_id": accounts[place], "title": TITLES[number % len(TITLES)],
        "email": f"{first}.{last}.{number}@{domain}".lower(), "phone": f"{prefix}55503{number:02d}",
        "tags": [TAGS[number % len(TAGS)]], "address": {"city": city, "country": country}, "do_not_contact": number % 17 == 0,
        **({"owner_id": owners[place % len(owners)]} if owners else {}),
    }


# What a deal is about, and why it was lost.
OFFERS = ["Pilot", "Rollout", "Renewal", "Second site", "Training", "Support plan"]
LOST = ["Price", "Timing", "A competitor", "No budget"]
ROLES = ["Decision maker", "Champion", "Technical buyer", "Legal"]


def deal(number, pipeline, accounts, owners):
    place, stage = number * 5 % len(accounts), pipeline["stages"][number * 7 % len(pipeline["stages"])]
    currency = BUSINESS[place][3]
    # Due from two months before the first load to seven months behind it, so that a forecast has something in each of its months.
    due = datetime.date.fromisoformat(pipeline["created_at"][:10]) + datetime.timedelta(days=number * 37 % 270 - 60)
    return {
        "name": f"{COMPANIES[place]}: {OFFERS[number % len(OFFERS)]}", "account_id": accounts[place], "stage_id": stage["id"],
        "amount_minor": (number * 13 % 40 + 1) * 2_500 * (1 if currency == "JPY" else 100), "currency": currency,
        "expected_close_on": due.isoformat(), "tags": [TAGS[number % len(TAGS)]],
        **({"lost_reason": LOST[number % len(LOST)]} if stage["kind"] == "lost" else {}),
        **({"owner_id": owners[number % len(owners)]} if owners else {}),
    }


def note(number, leads, accounts):
    kind, ids = [("lead", leads), ("account", accounts)][number % 2]
    person = FIRST[number * 7 % len(FIRST)]
    return {
        "body": f"## Call with {person}\n\n* asked for **{(number + 1) * 5} seats**\n* decides by the end of the month",
        "related": {"type": kind, "id": ids[number * 3 % len(ids)]}, "pinned": number % 6 == 0,
    }


def product(number):
    name, sku, usd, eur, jpy, tax = PRODUCTS[number]
    prices = [{"currency": code, "unit_price_minor": price} for code, price in (("USD", usd), ("EUR", eur), ("JPY", jpy))]
    return {"name": name, "sku": sku, "prices": prices, "tax_percent": tax, "active": number != 6}


def exchange_rates():
    days = ("2026-01-01", "2026-07-01")
    return [
        {"currency": code, "base_currency": "USD", "rate": rate, "valid_from": day, "source": "ECB"}
        for code, rates in RATES.items() for day, rate in zip(days, rates)
    ]


TO_DO = [
    "Call {} about the offer", "Send {} the price list", "Prepare the demo for {}", "Follow up on the trial of {}", "Ask {} for a reference",
    "Book the fair with {}", "Check the contract of {}",
]
RECURRING = ["FREQ=WEEKLY;BYDAY=MO", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH", "FREQ=YEARLY"]


def task(number, today, related, owners):
    """Due from ten days before the load to a month after it, some of them done, some recurring."""
    kind, ids = related[number % len(related)]
    day = today + number * 11 % 41 - 10
    due = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(day * 86400 + (8 + number % 9) * 3600))
    status = ["open", "open", "in_progress", "open", "done", "open", "open", "cancelled"][number % 8]
    recurs = number % 10 == 3 and status == "open"
    return {
        "subject": TO_DO[number % len(TO_DO)].format(COMPANIES[number * 3 % len(COMPANIES)]), "due_at": due, "status": status,
        "priority": ["normal", "high", "normal", "low"][number % 4], "related": {"type": kind, "id": ids[number * 3 % len(ids)]},
        "tags": [TAGS[number % len(TAGS)]], "external_id": f"demo-{number}",
        **({"recurrence": RECURRING[number // 10 % len(RECURRING)]} if recurs else {}),
        **({"checklist": [{"text": "Read the notes", "done": True}, {"text": "Agree on a date"}]} if number % 5 == 0 else {}),
        **({"assignee_id": owners[number % len(owners)]} if owners else {}),
    }


def ticket(number):
    subject = SUBJECTS[number % len(SUBJECTS)]
    return {
        "subject": subject, "description": f"{subject}. Seen by {FIRST[number % len(FIRST)]} at {COMPANIES[number % len(COMPANIES)]}.",
        "priority": PRIORITIES[number % len(PRIORITIES)], "channel": CHANNELS[number % len(CHANNELS)], "tags": [TAGS[number % len(TAGS)]],
    }


def create_all(api, resource, slug, records):
    """The ids of what was made."""
    ids = []
    for start in range(0, len(records), BATCH):
        part = records[start : start + BATCH]
        operations = [{"op": "create", "body": record} for record in part]
        body = {"atomic": False, "operations": operations}
        answer = api.call("POST", f"/v1/{resource}/batch", body, key=f"demo-{slug}-{resource}-{start}")
        # 409: there from a load that broke off longer ago than idempotency keys are kept.
        refused = [result for result in answer["results"] if result["status"] not in (201, 409)]
        if refused:
            raise Refused("POST", f"/v1/{resource}/batch", refused[0]["status"], json.dumps(refused[0]["body"]))
        ids += [result["body"]["id"] for result in answer["results"] if result["status"] == 201]
    return ids


def say(text):
    print("  " + text, flush=True)


def load(url):
    nobody = API(url)
    admins = {
        slug: nobody.registered(f"admin@{slug}.test", f"{name.split()[0]} Admin", organization={"name": name, "slug": slug})
        for slug, name, *_ in TENANTS
    }
    operator = nobody.signed_in("operator@martlet.test")
    for slug, _, plan, *_ in TENANTS:
        if plan == "free":
            continue
        tenant = admins[slug].tenant
        if tenant["plan"] != plan:
            operator.call("PATCH", f"/v1/platform/tenants/{tenant['id']}", {"plan": plan})
        # What a token says of the plan is as old as the token.
        admins[slug] = nobody.signed_in(f"admin@{slug}.test")

    members = {member["email"] for member in admins["acme"].call("GET", "/v1/members?limit=200")["data"]}
    owners = []
    for local, name, role in PEOPLE_OF_ACME:
        email = f"{local}@acme.test"
        if email in members:
            person = nobody.signed_in(email)
        else:
            person = nobody.registered(email, name, invitation_token=invite(admins["acme"], email, role))
        if role in ("manager", "sales"):
            owners.append(person.user["id"])
    teams = {team["name"] for team in admins["acme"].call("GET", "/v1/teams?limit=200")["data"]}
    if "Sales" not in teams:
        admins["acme"].call("POST", "/v1/teams", {"name": "Sales", "member_ids": owners})
    say("3 tenants, 8 people, a team")

    for slug, name, _, leads, tickets, contacts, deals in TENANTS:
        of_tenant = owners if slug == "acme" else []
        people = create_all(admins[slug], "leads", slug, [lead(name, number, of_tenant) for number in range(leads)])
        accounts = create_all(admins[slug], "accounts", slug, [account(number, of_tenant) for number in range(len(COMPANIES))])
        for below, above in SUBSIDIARIES.items():
            admins[slug].call("PATCH", f"/v1/accounts/{accounts[below]}", {"parent_id": accounts[above]})
        staff = create_all(admins[slug], "contacts", slug, [contact(number, accounts, of_tenant) for number in range(contacts)])
        if slug == "acme":
            create_all(admins[slug], "products", slug, [product(number) for number in range(len(PRODUCTS))])
            create_all(admins[slug], "exchange-rates", slug, exchange_rates())
        # The one that every tenant has.
        pipeline = admins[slug].call("GET", "/v1/pipelines?is_default=true")["data"][0]
        chances = create_all(admins[slug], "deals", slug, [deal(number, pipeline, accounts, of_tenant) for number in range(deals)])
        # Some have two people of the company; the same again on the next load.
        for number in range(0, len(chances) if staff else 0, 6):
            place = number * 5 % len(accounts)
            for person in dict.fromkeys(staff[at % len(staff)] for at in (place, place + len(accounts))):
                role = ROLES[(number + staff.index(person)) % len(ROLES)]
                admins[slug].call("PUT", f"/v1/deals/{chances[number]}/contacts/{person}", {"role": role})
        create_all(admins[slug], "notes", slug, [note(number, people, accounts) for number in range(contacts // 2)])
        asked = create_all(admins[slug], "tickets", slug, [ticket(number) for number in range(tickets)])
        # On another day they are other tasks to the key, and the same by the ids of another system.
        to_do, today = contacts * 4 // 3, int(time.time()) // 86400
        related = [("lead", people), ("account", accounts), ("deal", chances), ("ticket", asked)]
        create_all(admins[slug], "tasks", f"{slug}-{today}", [task(number, today, related, of_tenant) for number in range(to_do)])
        say(
            f"{slug}: {leads} leads, {len(accounts)} accounts, {contacts} contacts, {deals} deals, {contacts // 2} notes, {to_do} tasks,"
            f" {tickets} tickets"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        load(sys.argv[1].rstrip("/"))
    except (Refused, urllib.error.URLError, KeyError) as problem:
        sys.exit(f"demo data: {problem!s}")
