"""Reads mails with Python's email package for TestDifferential: JSON of name to base64 on
standard input, JSON of name to aspects on standard output."""
import base64, email, email.policy, email.utils, hashlib, json, sys


def text_sum(b):
    return hashlib.sha256(b.replace(b"\r", b"").rstrip(b"\n")).hexdigest()[:12]


def attempt(f):
    try:
        return f()
    except Exception:  # a bug of a parser is no difference
        return None


def walk(part, tree, bodies):
    typ = part.get_content_type()
    tree.append(typ)
    payload = part.get_payload()
    if typ == "message/rfc822" and isinstance(payload, list) and payload:
        tree.append("[")
        walk(payload[0], tree, bodies)
        tree.append("]")
    elif isinstance(payload, list) and part.get_content_maintype() == "multipart":
        tree.append("(")
        for p in payload:
            walk(p, tree, bodies)
        tree.append(")")
    else:
        body = part.get_payload(decode=True)
        if body is None:
            body = b"".join(p.as_bytes() for p in payload) if isinstance(payload, list) else b""
        bodies.append(text_sum(body) + " " + " ".join((part.get_filename() or "").split()))


def read(raw):
    m = email.message_from_bytes(raw, policy=email.policy.compat32)
    tree, bodies = [], []
    walk(m, tree, bodies)
    out = {"tree": " ".join(tree), "bodies": "\n".join(bodies)}
    d = email.message_from_bytes(raw, policy=email.policy.default)
    subject = attempt(lambda: str(d["subject"] or ""))
    if subject is not None:
        out["subject"] = " ".join(subject.split())
    date = attempt(lambda: d["date"].datetime)
    if date is not None:
        if date.tzinfo is None:
            date = date.replace(tzinfo=__import__("datetime").timezone.utc)
        out["date"] = str(int(date.timestamp()))
    addresses = attempt(lambda: d["from"].addresses)
    # A phrase without an address is a local part to Python: no address to compare.
    if addresses and all(a.domain for a in addresses):
        out["from"] = "".join(" " + a.username + "@" + a.domain for a in addresses)
    return out


mails = json.load(sys.stdin)
result = {}
for name, raw in mails.items():
    r = attempt(lambda: read(base64.b64decode(raw)))
    if r is not None:
        result[name] = r
json.dump(result, sys.stdout)
