"""Twenty tenants with ten tokens each, as many clients at once have them."""

import base64
import concurrent.futures
import json
import subprocess
import time

from tools import demo, folder, gateway, keep, kept, say

TENANTS, TOKENS = 20, 10
# Requests a second of each tenant: counted, drawn and told in every answer, and never reached.
LIMIT = 30_000


def prepared():
    """Signed in ten times each; once for a run. In the order of the tenants, and tokens of tenants side by side."""
    if kept("tenants"):
        return
    say(f"{TENANTS} tenants, {TENANTS * TOKENS} sign-ins")
    operator = demo.API(gateway).signed_in("operator@martlet.test")

    def tenant(number):
        nobody, email = demo.API(gateway), f"admin@tenant-{number}.test"
        person = nobody.registered(email, "Admin", organization={"name": f"Tenant {number}", "slug": f"bench-tenant-{number}"})
        operator.call("PATCH", f"/v1/platform/tenants/{person.tenant['id']}", {"plan": "enterprise", "overrides": {"requests_per_second": LIMIT}})
        answers = [nobody.call("POST", "/v1/auth/login", {"email": email, "password": demo.PASSWORD}) for _ in range(TOKENS)]
        return {"id": person.tenant["id"], "tokens": [[answer["access_token"], answer["refresh_token"]] for answer in answers]}

    # As many at once as identity hashes at once.
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        keep("tenants", {"made": time.time(), "tenants": list(threads.map(tenant, range(TENANTS)))})


def tokens():
    """All of them, one of each tenant after another, none older than five minutes: they last ten."""
    prepared()
    found = kept("tenants")
    if time.time() - found["made"] > 300:
        nobody, found["made"] = demo.API(gateway), time.time()
        for pair in (pair for tenant in found["tenants"] for pair in tenant["tokens"]):
            answer = nobody.call("POST", "/v1/auth/refresh", {"refresh_token": pair[1]})
            pair[:] = answer["access_token"], answer["refresh_token"]
        keep("tenants", found)
    return [tenant["tokens"][number][0] for number in range(TOKENS) for tenant in found["tenants"]]


def tenant_ids():
    prepared()
    return [tenant["id"] for tenant in kept("tenants")["tenants"]]


def written(name, lines):
    """A file of these lines: two hundred tokens do not fit into a variable of the environment."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def foreign(tokens):
    """The same claims, signed with RS256 by the key that haproxy is given: of what it can verify what costs it least with a public key; it knows
    no EdDSA, with which identity signs.
    """
    encoded = lambda text: base64.urlsafe_b64encode(text).rstrip(b"=")  # noqa: E731
    head, found = encoded(json.dumps({"alg": "RS256", "typ": "at+jwt"}).encode()), []
    for token in tokens:
        text = head + b"." + token.split(".")[1].encode()
        signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(folder / "haproxy.key")], input=text, capture_output=True, check=True)
        found.append((text + b"." + encoded(signed.stdout)).decode())
    return found
