"""A session of Python's imaplib with a server: python3 imaplib_client.py HOST PORT USER PASSWORD

Prints "all well" at the end; any other end is a failure.
"""
import imaplib
import sys

host, port, user, password = sys.argv[1:]
MAIL = (b"From: Zoe <zoe@example.org>\r\nTo: ann@example.org\r\nSubject: imaplib %d\r\n"
        b"Message-ID: <imaplib-%d@example.org>\r\n\r\nbody number %d, with gr\xc3\xbc\xc3\x9fe\r\n")


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


c = imaplib.IMAP4(host, int(port))
try:
    c.login(user, "wrong")
    raise SystemExit("a wrong password was taken")
except imaplib.IMAP4.error as e:
    assert "AUTHENTICATIONFAILED" in str(e), e
ok(c.login(user, password))
capabilities = ok(c.capability())[0].split()
assert b"UIDPLUS" in capabilities and b"MOVE" in capabilities, capabilities
ok(c.create("Work/2026"))
assert c.create("Work/2026")[0] == "NO"
assert c.select("Nowhere")[0] == "NO"

for n in range(1, 6):
    flags = r"(\Seen $urgent)" if n % 2 else None
    data = ok(c.append("Work/2026", flags, '"02-Mar-2026 10:00:00 +0100"', MAIL % (n, n, n)))
    assert b"APPENDUID" in data[0], data
assert c.append("Nowhere", None, None, MAIL % (9, 9, 9))[0] == "NO"

assert ok(c.select("Work/2026"))[0] == b"5"
assert ok(c.search(None, "SEEN"))[0] == b"1 3 5"
assert ok(c.search(None, "KEYWORD", "$urgent", "SUBJECT", '"imaplib 3"'))[0] == b"3"
assert ok(c.search("UTF-8", "BODY", '"GR\u00dc\u00dfE"'.encode()))[0] == b"1 2 3 4 5"
assert ok(c.search(None, "UNSEEN", "FROM", "zoe"))[0] == b"2 4"
assert ok(c.search(None, "ON", "2-Mar-2026"))[0] == b"1 2 3 4 5"

data = ok(c.fetch("2", "(UID RFC822.SIZE BODY.PEEK[])"))
assert data[0][1] == MAIL % (2, 2, 2), data
data = ok(c.fetch("2", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
assert data[0][1] == b"Subject: imaplib 2\r\n\r\n", data
assert b"Seen" not in data[0][0] + data[1], data
ok(c.fetch("2", "(BODY[TEXT]<5.6>)"))
assert ok(c.search(None, "SEEN"))[0] == b"1 2 3 5"

ok(c.store("1:2", "+FLAGS", r"(\Flagged)"))
ok(c.store("2", "-FLAGS", r"(\Seen)"))
assert ok(c.search(None, "FLAGGED"))[0] == b"1 2"
ok(c.copy("1:3", "INBOX"))
assert c.copy("1", "Nowhere")[0] == "NO"
ok(c.uid("STORE", "1:2", "+FLAGS.SILENT", r"(\Deleted)"))
assert ok(c.expunge()) == [b"1", b"1"]
assert ok(c.uid("SEARCH", "ALL"))[0] == b"3 4 5"
ok(c.uid("MOVE", "4", "INBOX"))
assert ok(c.status("INBOX", "(MESSAGES UIDNEXT UNSEEN)"))[0].endswith(b"(MESSAGES 4 UIDNEXT 5 UNSEEN 2)")

# IDLE, by hand: imaplib has it only since Python 3.14.
ok(c.select("INBOX"))
other = imaplib.IMAP4(host, int(port))
ok(other.login(user, password))
c.send(b"X1 IDLE\r\n")
assert c.readline().startswith(b"+ ")
ok(other.append("INBOX", None, None, MAIL % (6, 6, 6)))
line = c.readline()
while b"EXISTS" not in line:
    line = c.readline()
assert line == b"* 5 EXISTS\r\n", line
c.send(b"DONE\r\n")
line = c.readline()
while not line.startswith(b"X1 "):
    line = c.readline()
assert line.startswith(b"X1 OK"), line

names = b" ".join(ok(c.list()))
for name in (b"INBOX", b"Work", b"Work/2026"):
    assert name in names, names
ok(c.rename("Work/2026", "Archiv-\u0026ANw-bersicht"))
assert b"Archiv-&ANw-bersicht" in b" ".join(ok(c.list('""', "Archiv*")))
ok(c.close())
ok(c.delete("Archiv-&ANw-bersicht"))
other.logout()
assert c.logout()[0] == "BYE"
print("all well")
