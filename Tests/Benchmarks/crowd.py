"""Many connections of one process over HTTP/1.1, asked by the clock or one request after another: what wrk cannot be told."""

import collections
import itertools
import re
import resource
import select
import socket
import sys
import time

HOST = b"Host: 127.0.0.1\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n")

# When a request was due, was sent, and was answered whole; the status, 0 where the connection ended instead; whether Retry-After was there.
Answer = collections.namedtuple("Answer", "due sent done status says_when")


def request(path, token=None):
    authorization = b"Authorization: Bearer " + token.encode() + b"\r\n" if token else b""
    return b"GET " + path.encode() + b" HTTP/1.1\r\n" + HOST + authorization + b"\r\n"


def connect(port, number, receive_buffer=None):
    """From one of 16 addresses in turn, as a gateway counts the connections of each."""
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(10)
    connection.bind((f"127.0.0.{2 + number % 16}", 0))
    connection.connect(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


def files(wanted):
    """How many of so many connections the limit of open files allows this process, which it raises as far as it may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - 200)


class Caller:
    """A connection that asks for one thing at a time. Of an answer only the head is kept, and that it came whole."""

    def __init__(self, socket, number):
        self.socket, self.number = socket, number
        self.due, self.sent, self.head, self.left = None, None, b"", None
        self.status, self.says_when, self.ends = 0, False, False

    def ask(self, request, due):
        self.due, self.sent, self.head, self.left = due, time.monotonic(), b"", None
        if self.socket.send(request) != len(request):
            sys.exit("Tests/bench: a request did not fit into the buffer of a connection")

    def take(self, content):
        """Whether the answer is whole with it."""
        if self.left is None:
            self.head += content
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return False
            head, content = self.head[:end + 2].lower(), self.head[end + 4:]
            length = LENGTH.search(head)
            if not length:
                sys.exit(f"Tests/bench: an answer does not say how long it is:\n{head.decode()}")
            self.left, self.status, self.says_when = int(length[1]), int(head[9:12]), b"\r\nretry-after:" in head
            self.ends = b"\r\nconnection: close\r\n" in head
        self.left -= len(content)
        return self.left <= 0

    def answer(self, status):
        due, self.due = self.due, None
        return Answer(due, self.sent, time.monotonic(), status, self.says_when if status else False)


class Crowd:
    """So many connections to one port. Within `with` they stay open, and those that end are opened anew."""

    def __init__(self, port, count):
        self.port, self.count, self.poll, self.callers = port, count, select.epoll(), {}
        # Connections that ended while nothing was asked.
        self.ended = 0

    def __enter__(self):
        for number in range(self.count):
            self.add(Caller(connect(self.port, number), number))
        return self

    def __exit__(self, *_):
        for caller in self.callers.values():
            caller.socket.close()
        self.poll.close()

    def add(self, caller):
        self.callers[caller.socket.fileno()] = caller
        self.poll.register(caller.socket, select.EPOLLIN)

    def reopen(self, caller):
        del self.callers[caller.socket.fileno()]
        caller.socket.close()
        caller.socket, caller.ends = connect(self.port, caller.number), False
        self.add(caller)

    def ask(self, requests, is_over, rate=None):
        """Asks for one of the requests after another, each on the connection that was idle longest: `rate` times a second whatever comes back, or,
        without it, on every connection as soon as its answer is there. Until `is_over`, which is told for how long it has gone on; then answers
        are waited for, 15 s at most.
        """
        idle, turns, answers = collections.deque(self.callers.values()), itertools.cycle(requests), []
        start, count, ended = time.monotonic(), 0, None
        while True:
            now = time.monotonic()
            if ended is None and is_over(now - start):
                ended = now
            if ended is not None and (len(idle) == self.count or now > ended + 15):
                break
            while ended is None and idle and (rate is None or start + count / rate <= now):
                self.send(next(turns), idle, answers, start + count / rate if rate else now)
                count += 1
            due = max(0, start + count / rate - time.monotonic()) if rate and idle and ended is None else 0.05
            for number, _ in self.poll.poll(min(due, 0.05)):
                self.receive(self.callers[number], idle, answers)
        # Who was never answered is answered by nobody.
        answers += [caller.answer(0) for caller in self.callers.values() if caller.due is not None]
        return answers

    def send(self, request, idle, answers, due):
        caller = idle.popleft()
        try:
            caller.ask(request, due)
        except OSError:
            # It ended between two requests, which any client meets: asked again on another, as nothing was sent.
            self.ended += 1
            self.reopen(caller)
            caller.ask(request, due)

    def receive(self, caller, idle, answers):
        try:
            content = caller.socket.recv(1 << 18)
        except OSError:
            content = b""
        if caller.due is None:
            # Nothing was asked, so this is its end.
            self.ended += 1
            return self.reopen(caller)
        if not content:
            answers.append(caller.answer(0))
            self.reopen(caller)
        elif not caller.take(content):
            return
        else:
            answers.append(caller.answer(caller.status))
            if caller.ends:
                self.reopen(caller)
        idle.append(caller)


def statuses(answers):
    """How many there are of each."""
    return dict(sorted(collections.Counter(answer.status for answer in answers).items()))


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0
