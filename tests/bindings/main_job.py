"""The main job through the Python binding: a watch and a guardian as their makers would write them, over real HTTP.

Standard library only. Arguments: a JSON object on standard input with `origin`, `join` (a guardian's invitation) and
`picture` (`path` of the camera's luma bytes, `width`, `height`). The last line printed is a JSON object of what came out.
"""

import base64
import json
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request

import nodpay_bindings as nodpay
from nodpay_bindings import Answer, EndKind, Input, Screen, ScanFor, UserAction, WatchAction

PIN = [4, 8, 2, 7]
PATIENCE_S = 60


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def now_ms():
    return int(time.time() * 1000)


def http(method, url, headers, body=b"", timeout_s=10):
    """Status, headers and body of any answer; None when there was none."""
    request = urllib.request.Request(url, data=body if method == "POST" else None, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
    except OSError:
        return None


class Key(nodpay.DeviceKey):
    """What a watch maker writes over a secure element: here a key in memory."""

    def __init__(self):
        self.renew(os.urandom(32))

    def public_key(self):
        return self.key.public_key()

    def sign(self, message):
        return self.key.sign(message)

    def renew(self, secret):
        self.key = nodpay.SoftwareKey.from_secret(secret)


class Watch:
    """A runtime around the agent: does its actions, hands it what happens, and plays the child."""

    def __init__(self, picture):
        self.inputs = queue.Queue()
        self.journals = 0
        self.stream = 0
        self.screens = []
        self.picture = picture
        self.pairing_code = None
        config = nodpay.WatchConfig(demo_keys=True)
        self.agent = nodpay.WatchAgent(config, None, Key())
        self.handle(Input.START())

    def handle(self, event):
        moment = nodpay.WatchMoment(
            monotonic_ms=int(time.monotonic() * 1000), wall_ms=now_ms(), random=os.urandom(32)
        )
        for action in self.agent.handle(event, moment):
            self.do(action)
        screen = type(self.screen()).__name__
        if self.screens[-1:] != [screen]:
            self.screens.append(screen)

    def do(self, action):
        if isinstance(action, WatchAction.PERSIST):
            self.journals += 1
        elif isinstance(action, WatchAction.REQUEST):
            threading.Thread(target=self.request, args=(action.request,), daemon=True).start()
        elif isinstance(action, WatchAction.OPEN_STREAM):
            self.stream = action.stream.id
            threading.Thread(target=self.listen, args=(action.stream,), daemon=True).start()
        elif isinstance(action, WatchAction.CLOSE_STREAM):
            self.stream = 0

    def request(self, request):
        headers = {header.name: header.value for header in request.headers}
        answer = http(request.method, request.url, headers, request.body, request.timeout_ms / 1000)
        if answer is None:
            self.inputs.put(Input.NETWORK_FAILED(request.id))
        else:
            self.inputs.put(Input.RESPONSE(request.id, answer[0], answer[2]))

    def listen(self, stream):
        headers = {header.name: header.value for header in stream.headers}
        try:
            opened = urllib.request.urlopen(
                urllib.request.Request(stream.url, headers=headers), timeout=stream.silence_ms / 1000
            )
        except urllib.error.HTTPError as error:
            self.inputs.put(Input.STREAM_REFUSED(stream.id, error.code, error.read()))
            return
        except OSError:
            self.inputs.put(Input.STREAM_CLOSED(stream.id))
            return
        self.inputs.put(Input.STREAM_OPENED(stream.id))
        fields = {}
        try:
            for line in opened:
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name:
                    fields[name] = value
                elif fields:
                    event = (fields.get("id"), fields.get("event", ""), fields.get("data", ""))
                    self.inputs.put(Input.STREAM_EVENT(stream.id, *event))
                    fields = {}
                if self.stream != stream.id:
                    return
        except OSError:
            pass
        self.inputs.put(Input.STREAM_CLOSED(stream.id))

    def screen(self):
        return self.agent.view(int(time.monotonic() * 1000)).screen

    def user(self, action):
        self.handle(Input.USER(action))

    def type_pin(self):
        for digit in PIN:
            self.user(UserAction.DIGIT(digit))
        self.user(UserAction.CONFIRM())

    def child(self, screen):
        """The next touch, by what is on the screen; True when there was one."""
        if isinstance(screen, (Screen.WELCOME, Screen.HOME)):
            self.user(UserAction.START())
        elif isinstance(screen, Screen.SCAN) and screen.purpose == ScanFor.PAIRING and self.pairing_code:
            self.handle(Input.CODES_READ([self.pairing_code]))
        elif isinstance(screen, Screen.SCAN) and screen.purpose == ScanFor.PAYING:
            width, height, luma = self.picture
            self.handle(Input.CODES_READ(nodpay.read_codes(width, height, luma)))
        elif isinstance(screen, (Screen.CHOOSE_PIN, Screen.PIN)):
            self.type_pin()
        elif isinstance(screen, Screen.REVIEW):
            self.user(UserAction.OCCASION(nodpay.Occasion.SCHOOL))
            self.user(UserAction.CONFIRM())
        else:
            return False
        return True

    def run_until(self, done):
        """Plays on until the screen is the one wanted; returns it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            screen = self.screen()
            if done(screen):
                return screen
            if self.child(screen):
                continue
            tick = self.agent.next_tick_ms()
            wait = 1.0 if tick is None else max(0.0, min(1.0, tick / 1000 - time.monotonic()))
            try:
                self.handle(self.inputs.get(timeout=wait))
            except queue.Empty:
                self.handle(Input.TICK())
        raise TimeoutError(f"the watch stays at {self.screen()}")


class Guardian:
    """A guardian's phone app."""

    def __init__(self, origin, invitation):
        self.origin, self.cookie = origin, None
        self.service = self.get("/api/service")
        self.root = self.service["root"]
        self.rp = nodpay.RelyingParty(rp_id=self.service["rp_id"], origins=self.service["origins"], demo_keys=True)
        self.key = nodpay.SoftwareKey.from_secret(os.urandom(32))
        self.guardian, self.credential = b64(os.urandom(16)), os.urandom(32)
        name = nodpay.PersonName(name="妈妈", salt=b64(os.urandom(16)))
        known = nodpay.GuardianKey(
            guardian=self.guardian, credential=self.credential, key=self.key.public_key(), backup_eligible=False
        )
        founding = self.sign(nodpay.draft_founding(b64(os.urandom(16)), known, name, now_ms()))
        self.log = nodpay.HouseholdLog.found(founding, None, self.rp)
        body = {"invitation": invitation, "entry": founding, "name": vars(name), "currency": "CNY"}
        self.post("/api/guardian/found", body)

    def call(self, method, path, kind, body=b""):
        headers = {"Origin": self.origin, "Content-Type": kind}
        if self.cookie:
            headers["Cookie"] = self.cookie
        status, answered, content = http(method, self.origin + path, headers, body)
        if status >= 400:
            raise RuntimeError(f"{path}: {status} {content.decode()}")
        if answered.get("Set-Cookie"):
            self.cookie = answered["Set-Cookie"].split(";")[0]
        return json.loads(content) if content else None

    def get(self, path):
        return self.call("GET", path, "application/json")

    def post(self, path, body):
        return self.call("POST", path, "application/json", json.dumps(body).encode())

    def sign(self, draft):
        return nodpay.seal(draft, self.key.answer(draft, self.credential, self.rp, True))

    def open_pairing(self):
        opened = self.post("/api/guardian/pairings", {})["pairing"]
        expires = now_ms() + 30 * 60 * 1000
        self.pairing = nodpay.Pairing(
            service=self.origin, pairing=opened, root=self.root, expires_ms=expires, secret=os.urandom(16)
        )
        return self.log.pairing_code(self.pairing)

    def enrol(self, check):
        """Enrols the watch that claimed the pairing, if it shows these digits."""
        answer = self.get(f"/api/guardian/pairings/{self.pairing.pairing}")
        claimed = self.log.verify_claim(self.pairing, answer["claim"], answer["key"])
        assert claimed.check == check, "both screens show the same digits"
        name = nodpay.PersonName(name="小明", salt=b64(os.urandom(16)))
        at = now_ms()
        enrolment = nodpay.Enrolment(
            watch=claimed,
            wearer=b64(os.urandom(16)),
            name=name,
            cap=nodpay.Money(minor=20_000, currency="CNY", exponent=2),
            cap_until_ms=at + 24 * 60 * 60 * 1000,
        )
        draft = self.log.draft_enrolment(self.guardian, enrolment, at)
        entry = self.sign(draft)
        self.post("/api/guardian/log", {"entry": entry, "wearer": vars(name), "pairing": self.pairing.pairing})
        self.log.append(entry)

    def messages(self, view):
        return nodpay.OrderMessages(
            certificate=view["certificate"], bill=view["bill"], requote=view.get("requote"), order=view["order"]
        )

    def decide(self, answer):
        """Verifies the newest order and answers it."""
        view = self.get("/api/guardian/orders")["orders"][0]
        seen = self.log.verify_order(self.messages(view), self.root)
        draft = self.log.draft_decision(self.messages(view), self.root, self.guardian, answer(seen), now_ms())
        path = f"/api/guardian/orders/{seen.order}/decision"
        self.call("POST", path, "application/jose", self.sign(draft).encode())
        return seen

    def ended(self, order):
        """How it ended, verified; and whether the service has the watch's own report."""
        view = self.get(f"/api/guardian/orders/{order}")
        ended = nodpay.OutcomeMessages(
            outcome_certificate=view["outcome_certificate"],
            outcome=view["outcome"],
            decision=view.get("decision"),
            payment=view.get("payment"),
            cancel=view.get("cancel"),
        )
        return self.log.verify_outcome(self.messages(view), ended, self.root), "result" in view


def main():
    told = json.load(sys.stdin)
    with open(told["picture"]["path"], "rb") as file:
        picture = (told["picture"]["width"], told["picture"]["height"], file.read())
    watch = Watch(picture)
    guardian = Guardian(told["origin"], told["join"])

    watch.pairing_code = guardian.open_pairing()
    shown = watch.run_until(lambda screen: isinstance(screen, Screen.PAIRING))
    claimed = lambda: guardian.get(f"/api/guardian/pairings/{guardian.pairing.pairing}")["state"] == "claimed"
    while not claimed():
        watch.handle(watch.inputs.get(timeout=PATIENCE_S))
    guardian.enrol(shown.check)

    watch.run_until(lambda screen: isinstance(screen, Screen.WAITING))
    without_cola = lambda order: Answer.APPROVE([line.id for line in order.lines if "Cola" in line.name], "水更好")
    seen = guardian.decide(without_cola)
    end = watch.run_until(lambda screen: isinstance(screen, Screen.ENDED))[0]
    while not guardian.ended(seen.order)[1]:
        watch.handle(watch.inputs.get(timeout=PATIENCE_S))
    outcome, _ = guardian.ended(seen.order)
    assert end.kind == EndKind.PAID, end

    # A changed message does not verify, and says why.
    view = guardian.get(f"/api/guardian/orders/{seen.order}")
    forged = guardian.messages(view | {"order": view["order"][:-2] + "AA"})
    try:
        guardian.log.verify_order(forged, guardian.root)
        raise AssertionError("a forged order was believed")
    except nodpay.Failure.Unverified as failure:
        refused = failure.code

    print(json.dumps({
        "outcome": outcome.kind,
        "total": outcome.total.minor,
        "watch_total": end.total.minor,
        "struck": end.struck,
        "nodded": end.guardian,
        "wearer_check": seen.wearer_check,
        "occasion": seen.occasion.name,
        "refused": refused,
        "screens": watch.screens,
        "journals": watch.journals,
    }))


main()
