"""A service that takes part in transactions over HTTP, in Python with nothing but its standard library.

    CLUSTER=trips NAME=payments DATABASE=./payments.db TOKEN=… PORT=8090 python3 payments.py

It keeps accounts in SQLite. SECRET=… instead of TOKEN expects signed requests. Any number of these processes may share one
database: whoever is asked finds every branch. docs/http-services.md in the repository explains the protocol.
"""

import hashlib
import hmac
import json
import os
import re
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CLUSTER = os.environ["CLUSTER"]
NAME = os.environ["NAME"]
DATABASE = os.environ["DATABASE"]
SECRET = os.environ.get("SECRET")
TOKEN = os.environ.get("TOKEN")

SIGNATURE_SECONDS_MAX = 300
BODY_BYTES_MAX = 16 * 1024
# The commit request may come so long after the transaction's own time.
SLACK_MS = 10_000
# Coordinators remember what has ended for an hour, by default. Nothing of it is needed here after a day.
REMEMBER_MS = 86_400_000

TICKET = re.compile(r"^(cdt_([A-Za-z0-9-]{1,12})_([0-9a-f-]{36})_(\d{1,2}));([A-Za-z0-9._-]{1,64});(\d{1,15})$")
SIGNATURE = re.compile(r"^t=(\d{1,12}),v1=([0-9a-f]{64})$")

SCHEMA = """
create table if not exists accounts (id text primary key, balance integer not null check (balance >= 0));
create table if not exists branches (
  gid text primary key, txid text not null, branch integer not null,
  -- joined: set aside, no vote yet; prepared: voted commit, a promise; committed and aborted: over, kept to answer repeats
  state text not null check (state in ('joined', 'prepared', 'committed', 'aborted')),
  account text, amount integer not null default 0, due_ms integer not null, changed_ms integer not null
);
"""


class Refused(Exception):
    """An answer that is not 200. Whatever was done in the database for it is rolled back."""

    def __init__(self, status, code, message, **more):
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "message": message, **more}


def now_ms():
    return int(time.time() * 1000)


def connect():
    connection = sqlite3.connect(DATABASE, timeout=3, isolation_level=None)
    # Each transaction is on disk before it counts: a vote is a promise that outlives a crash.
    connection.executescript("pragma journal_mode = wal; pragma synchronous = full;")
    return connection


def in_one_transaction(work):
    """Runs `work`, all of it or nothing, and alone: what it has read stays true until it has written."""
    connection = connect()
    try:
        connection.execute("begin immediate")
        answer = work(connection)
        connection.execute("commit")
        return answer
    finally:
        # Closing rolls back whatever was not committed.
        connection.close()


def state_of(db, gid):
    row = db.execute("select state from branches where gid = ?", (gid,)).fetchone()
    return row[0] if row else None


def set_state(db, gid, state):
    db.execute("update branches set state = ?, changed_ms = ? where gid = ?", (state, now_ms(), gid))


def remember_aborted(db, question):
    """Nobody holds this branch, since all of them are in this database. From now on nobody can: a late call is refused."""
    values = (question["gid"], question["txid"], question["branch"], now_ms(), now_ms())
    db.execute("insert into branches (gid, txid, branch, state, due_ms, changed_ms) values (?, ?, ?, 'aborted', ?, ?)", values)


# --- the work of a call, as part of a transaction -----------------------------------------------------------------------


def charge(ticket, body):
    """Takes `amount` off an account, or with a negative amount adds to it. Nobody sees more money before the commit."""
    match = TICKET.match(ticket)
    if match is None:
        raise Refused(400, "MALFORMED_ID", "the concordat-tx header names no branch")
    gid, cluster, txid, branch, participant, timeout_ms = match.groups()
    if (cluster, participant) != (CLUSTER, NAME):
        raise Refused(409, "BRANCH_WRONG_TICKET", f"the call is for {participant} of {cluster}")
    account, amount = body["account"], int(body["amount"])

    def work(db):
        state = state_of(db, gid)
        if state == "joined":
            return {"done": "before"}
        if state is not None:
            raise Refused(409, "BRANCH_OVER", "the transaction is ending or over")
        taken = db.execute(
            "update accounts set balance = balance - ? where id = ? and balance >= ?",
            (max(amount, 0), account, max(amount, 0)),
        )
        if taken.rowcount == 0:
            raise Refused(409, "NOT_ENOUGH_MONEY", f"{account} has not enough money")
        due_ms = now_ms() + int(timeout_ms) + SLACK_MS
        values = (gid, txid, int(branch), account, amount, due_ms, now_ms())
        db.execute("insert into branches values (?, ?, ?, 'joined', ?, ?, ?, ?)", values)
        return {"done": "set aside"}

    return in_one_transaction(work)


# --- what the coordinators ask ------------------------------------------------------------------------------------------


def prepare(question):
    def work(db):
        state = state_of(db, question["gid"])
        if state is None:
            remember_aborted(db, question)
        elif state == "joined":
            set_state(db, question["gid"], "prepared")
        return {"vote": "abort" if state in (None, "aborted") else "commit"}

    return in_one_transaction(work)


def commit(question):
    gid = question["gid"]

    def work(db):
        state = state_of(db, gid)
        if state is None:
            # It voted commit, so it was here. Something is wrong with this database: that must not pass for success.
            raise Refused(404, "BRANCH_UNKNOWN", "there is no such branch")
        if state == "aborted":
            raise ended_otherwise(question, "aborted")
        if state != "committed":
            db.execute(
                "update accounts set balance = balance - min(0, branches.amount) from branches"
                " where branches.gid = ? and accounts.id = branches.account",
                (gid,),
            )
            set_state(db, gid, "committed")
        return {"outcome": "committed"}

    return in_one_transaction(work)


def abort(question):
    gid = question["gid"]

    def work(db):
        state = state_of(db, gid)
        if state == "committed":
            raise ended_otherwise(question, "committed")
        if state is None:
            remember_aborted(db, question)
        elif state != "aborted":
            db.execute(
                "update accounts set balance = balance + max(0, branches.amount) from branches"
                " where branches.gid = ? and accounts.id = branches.account",
                (gid,),
            )
            set_state(db, gid, "aborted")
        return {"outcome": "aborted"}

    return in_one_transaction(work)


def ended_otherwise(question, outcome):
    names = {key: question[key] for key in ("txid", "branch", "gid")}
    return Refused(409, "BRANCH_ENDED_OTHERWISE", f"it was {outcome} before", **names, outcome=outcome)


def in_doubt(cluster):
    if cluster != CLUSTER:
        raise Refused(409, "BRANCH_WRONG_TICKET", f"this is {NAME} of {CLUSTER}")
    sql = """select txid, branch, gid, state, case state when 'joined' then max(0, due_ms - ?) else 0 end as wait
             from branches where state in ('joined', 'prepared') order by wait limit 1000"""
    keys = ("txid", "branch", "gid", "state", "dueInMs")
    rows = in_one_transaction(lambda db: db.execute(sql, (now_ms(),)).fetchall())
    return {"participant": NAME, "branches": [dict(zip(keys, row)) for row in rows]}


DECISIONS = {"/v1/prepare": prepare, "/v1/commit": commit, "/v1/abort": abort}


def check_question(question):
    """A question for another service, or one that contradicts itself, is not carried out."""
    gid = f"cdt_{question['cluster']}_{question['txid']}_{question['branch']}"
    if question["gid"] != gid or type(question["branch"]) is not int:
        raise Refused(400, "SERVICE_BAD_REQUEST", "gid: it does not name this txid and branch")
    if (question["cluster"], question["participant"]) != (CLUSTER, NAME):
        raise Refused(409, "BRANCH_WRONG_TICKET", f"this is {NAME} of {CLUSTER}")


def check_credentials(method, target, body, headers):
    if TOKEN is not None:
        given = headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {TOKEN}".encode()):
            return
    elif SECRET is not None:
        match = SIGNATURE.match(headers.get("concordat-signature", ""))
        if match is not None:
            signed = f"{match[1]}.{method}.{target}.".encode() + body
            expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
            is_recent = abs(time.time() - int(match[1])) <= SIGNATURE_SECONDS_MAX
            if hmac.compare_digest(expected, match[2]) and is_recent:
                return
    raise Refused(401, "SERVICE_UNAUTHORIZED", "the credentials are missing, wrong or too old")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Connections stay open between two questions.
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def answer(self):
        try:
            status, body = 200, self.carry_out()
        except Refused as refused:
            status, body = refused.status, refused.body
        except (KeyError, TypeError, ValueError) as error:
            status, body = 400, {"code": "SERVICE_BAD_REQUEST", "message": repr(error)}
        except sqlite3.Error as error:
            # Not now: neither a vote nor an acknowledgement, and the coordinators ask again.
            status, body = 503, {"code": "STORE_UNAVAILABLE", "message": str(error)}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def carry_out(self):
        length = int(self.headers.get("content-length") or 0)
        if length > BODY_BYTES_MAX or "transfer-encoding" in self.headers:
            self.close_connection = True
            raise Refused(400, "SERVICE_BAD_REQUEST", "the body is too long, or of unknown length")
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        # The application's calls; a real service knows its users.
        if self.command == "POST" and path == "/charge":
            return charge(self.headers.get("concordat-tx", ""), json.loads(body))
        if self.command == "GET" and path == "/accounts":
            return in_one_transaction(lambda db: dict(db.execute("select id, balance from accounts").fetchall()))
        # What the coordinators ask, under the path that their configuration names.
        target = self.path.removeprefix("/concordat")
        path = urlsplit(target).path
        if self.command == "GET" and path == "/v1/in-doubt":
            check_credentials("GET", target, b"", self.headers)
            return in_doubt(parse_qs(urlsplit(target).query).get("cluster", [""])[0])
        if self.command == "POST" and path in DECISIONS:
            check_credentials("POST", target, body, self.headers)
            question = json.loads(body)
            check_question(question)
            answer = DECISIONS[path](question)
            # It says which branch it is for; otherwise it would not count.
            return {key: question[key] for key in ("txid", "branch", "gid")} | answer
        raise Refused(404, "SERVICE_PATH_UNKNOWN", "there is nothing here")

    def log_message(self, *_):
        pass


def main():
    if SECRET is None and TOKEN is None:
        sys.exit("give SECRET or TOKEN: whoever reaches the port could decide branches")
    db = connect()
    db.executescript(SCHEMA)
    db.execute("delete from branches where state in ('committed', 'aborted') and changed_ms < ?", (now_ms() - REMEMBER_MS,))
    for account in os.environ.get("ACCOUNTS", "").split():
        db.execute("insert or ignore into accounts values (?, ?)", account.split("="))
    db.close()
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8090"))), Handler)
    server.daemon_threads = True
    print(f"{NAME} listens on {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
