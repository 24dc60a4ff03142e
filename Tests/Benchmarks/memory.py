"""(j) What connections cost the gateway: 10,000 that ask once in two seconds; 2,000 that never read what they asked for, and 2,000 beside them
that read and stay. Of each a gateway that was just started.
"""

import select
import time

import crowd
from tools import keep, kept, resident_megabytes, say, seconds, setting, token

PERIOD = 2
DOCUMENT = crowd.request("/openapi.json")


def leads():
    credentials = token()
    return [crowd.request(f"/v1/leads/{lead}", credentials) for lead in kept("facts")["leads"]]


def warmed():
    """What the gateway holds once it has served a little of each kind."""
    with crowd.Crowd(int(setting("GATEWAY_PORT")), 64) as few:
        few.ask(leads(), lambda time: time > 2)
        few.ask([DOCUMENT], lambda time: time > 0.5, rate=64)
    return resident_megabytes("gateway")


def connections():
    count = crowd.files(10_000)
    before = warmed()
    with crowd.Crowd(int(setting("GATEWAY_PORT")), count) as many:
        opened = resident_megabytes("gateway")
        length = max(20, seconds)
        answers = many.ask(leads(), lambda time: time > length, rate=count / PERIOD)
        found = {
            "connections": count, "before_mb": before, "opened_mb": opened, "most_mb": resident_megabytes("gateway", "VmHWM"), "statuses": crowd.statuses(answers),
            "asked": len(answers), "wanted": int(length * count / PERIOD), "ended": many.ended,
            "p99_ms": crowd.percentile([answer.done - answer.due for answer in answers], 0.99) * 1000,
        }
    found["kilobytes_each"] = (found["most_mb"] - before) * 1024 / count
    say(
        f"{count:,} connections: {before} MB before, {opened} MB opened, at most {found['most_mb']} MB;"
        f" {found['asked']:,} of {found['wanted']:,} asked: {found['statuses']}")
    keep("connections", found)


def still_open(sockets):
    """How many the other side has not ended; what it has sent waits in them."""
    poll = select.poll()
    for socket in sockets:
        poll.register(socket, select.POLLRDHUP)
    return len(sockets) - len(poll.poll(0))


def unread(count=2000):
    count = crowd.files(2 * count) // 2
    port, before = int(setting("GATEWAY_PORT")), warmed()
    sockets = []
    for number in range(count):
        sockets.append(crowd.connect(port, number, receive_buffer=4096))
        sockets[-1].send(DOCUMENT)
    time.sleep(5)
    found = {"clients": count, "before_mb": before, "unread_most_mb": resident_megabytes("gateway", "VmHWM"), "kept": still_open(sockets)}
    with crowd.Crowd(port, count) as readers:
        # Each asks once, within four seconds, and stays.
        answers = readers.ask([DOCUMENT], lambda time: time > 4, rate=count / 4)
        time.sleep(2)
        found.update(
            most_mb=resident_megabytes("gateway", "VmHWM"), statuses=crowd.statuses(answers), ended=readers.ended, stayed=len(readers.callers),
            p99_ms=crowd.percentile([answer.done - answer.due for answer in answers], 0.99) * 1000)
    for socket in sockets:
        socket.close()
    time.sleep(2)
    found["after_mb"] = resident_megabytes("gateway")
    say(
        f"{count:,} that never read: {before} MB before, at most {found['unread_most_mb']} MB;"
        f" {count:,} that read beside them: {found['statuses']}, at most {found['most_mb']} MB")
    keep("unread", found)


def report():
    many, few, lines = kept("connections"), kept("unread"), []
    if many:
        wrong = many["asked"] - many["statuses"].get("200", 0)
        lines += [
            f"\n(j) {many['connections']:,} connections, each asking once in {PERIOD} s: {many['kilobytes_each']:.1f} kB each;"
            f" the gateway {many['before_mb']:.1f} MB before, {many['most_mb']:.1f} MB at most",
            f"    {many['asked']:,} of {many['wanted']:,} asked, {wrong} not 200, {many['ended']} connections ended; 99 % in {many['p99_ms']:.1f} ms of their time",
        ]
    if few:
        lines += [
            f"\n(j) {few['clients']:,} clients that never read /openapi.json:"
            f" the gateway {few['before_mb']:.1f} MB before, {few['unread_most_mb']:.1f} MB at most; {few['kept']:,} not cut off after 5 s",
            f"    {few['clients']:,} beside them that read and stay: {few['most_mb']:.1f} MB at most, {few['after_mb']:.1f} MB once all have gone;"
            f" answers {few['statuses']}, 99 % in {few['p99_ms']:.1f} ms",
        ]
    return [], lines
