#!/usr/bin/env python3
"""Read a letterlock store without letterlock.

    rescue.py STORE IDENTITY [OUT]

STORE is the folder of a store, or a copy of a bucket; IDENTITY a file with the
account's recovery identity (AGE-SECRET-KEY-PQ-1...), and if it was changed with
those before, each on its line, the newest first. Prints a line for each
message: folder, UID, flags, date, size, and the file of its body, separated by
tabs. With OUT, each body is decrypted to OUT/FOLDER/UID.eml.

It needs Python 3.8 and the age tool, 1.3 or later, and nothing else. The formats
are those of format.md and its chapters; this file is one program that follows
them, as short as possible and slow. It goes on past damage, and says so.
"""
import hashlib, hmac, os, struct, subprocess, sys, time, zlib

# -- Cryptography: format-crypto.md, sections 1 to 3 --------------------------


def hkdf(secret, salt, info):
    key = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def rounds(x):
    def quarter(a, b, c, d):
        for da, db, dd, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[da] = (x[da] + x[db]) & 0xFFFFFFFF
            v = x[dd] ^ x[da]
            x[dd] = ((v << r) | (v >> (32 - r))) & 0xFFFFFFFF

    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return x


SIGMA = struct.unpack("<4I", b"expand 32-byte k")


def chacha(key, counter, nonce):
    start = list(SIGMA + struct.unpack("<8I", key) + (counter,) + struct.unpack("<3I", nonce))
    end = rounds(list(start))
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(start, end)))


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i:i + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def pad(b):
    return b + bytes(-len(b) % 16)


def open_sealed(key, sealed, aad):
    """XChaCha20-Poly1305 with the nonce in front."""
    nonce, text, tag = sealed[:24], sealed[24:-16], sealed[-16:]
    x = rounds(list(SIGMA + struct.unpack("<8I", key) + struct.unpack("<4I", nonce[:16])))
    return open_ietf(struct.pack("<8I", *(x[:4] + x[12:])), bytes(4) + nonce[16:], text, tag, aad)


def open_ietf(sub, nonce, text, tag, aad):
    """ChaCha20-Poly1305 of RFC 8439."""
    mac = pad(aad) + pad(text) + struct.pack("<2Q", len(aad), len(text))
    if len(tag) < 16 or not hmac.compare_digest(poly1305(chacha(sub, 0, nonce)[:32], mac), tag):
        raise ValueError("does not open")
    out = bytearray()
    for i in range(0, len(text), 64):
        block = chacha(sub, 1 + i // 64, nonce)
        out += bytes(a ^ b for a, b in zip(text[i:i + 64], block))
    return bytes(out)


def seed_of(identity):
    """The 32 bytes of AGE-SECRET-KEY-PQ-1..., which is Bech32."""
    data = identity.strip().upper().rsplit("1", 1)[1][:-6]
    bits = "".join(format("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".index(c), "05b") for c in data)
    return int(bits[:256], 2).to_bytes(32, "big")


def age(identity_file, data):
    p = subprocess.run(["age", "-d", "-i", identity_file], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if p.returncode != 0:
        raise ValueError("age cannot open it")
    return p.stdout


# -- msgpack, as much as events and manifests use -----------------------------


def unpack(b, i=0):
    """The value at offset i, and the offset after it."""
    t = b[i]
    i += 1
    if t <= 0x7F:
        return t, i
    if t >= 0xE0:
        return t - 256, i
    if 0x90 <= t <= 0x9F or t in (0xDC, 0xDD):
        n = t & 0x0F
        if t >= 0xDC:
            size = 2 if t == 0xDC else 4
            n, i = int.from_bytes(b[i:i + size], "big"), i + size
        out = []
        for _ in range(n):
            v, i = unpack(b, i)
            out.append(v)
        return out, i
    if 0xA0 <= t <= 0xBF:
        n = t & 0x1F
        return b[i:i + n].decode(), i + n
    if t in (0xC2, 0xC3):
        return t == 0xC3, i
    lengths = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
    if t in lengths:
        size = lengths[t]
        n, i = int.from_bytes(b[i:i + size], "big"), i + size
        v = bytes(b[i:i + n])
        return (v if t <= 0xC6 else v.decode()), i + n
    numbers = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    if t in numbers:
        size = struct.calcsize(numbers[t])
        return struct.unpack(numbers[t], b[i:i + size])[0], i + size
    raise ValueError("msgpack type %#x" % t)


def uids_of(b):
    """A set of UIDs: runs, each a distance and a count, as varints."""
    numbers, n, shift = [], 0, 0
    for c in b:
        n |= (c & 0x7F) << shift
        shift += 7
        if c < 0x80:
            numbers.append(n)
            n, shift = 0, 0
    out, last = [], 0
    for gap, more in zip(numbers[::2], numbers[1::2]):
        first = last + gap
        last = first + more
        out += range(first, last + 1)
    return out


# -- What the events add up to: format.md, sections 3 to 6 --------------------

SYSTEM = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]


class Box:
    def __init__(self, name, next_uid=1):
        self.name, self.next, self.messages = name, next_uid, {}

    def add(self, m, uid=0):
        uid = uid or self.next
        self.messages[uid] = m
        self.next = uid + 1


def message(fields):
    body, size, date, flags, _ = fields
    return {"body": body[:16].hex(), "size": size, "date": date, "flags": list(flags)}


def without(flags, other):
    lower = [f.lower() for f in other]
    return [f for f in flags if f.lower() not in lower]


class State:
    def __init__(self):
        self.boxes, self.next_id = {}, 1

    def named(self, name):
        return next((i for i, b in self.boxes.items() if b.name == name), None)

    def make(self, name):
        levels = name.split("/")
        for n in range(1, len(levels) + 1):
            above = "/".join(levels[:n])
            if self.named(above) is None:
                self.boxes[self.next_id] = Box(above)
                self.next_id += 1
        return self.named(name)

    def apply(self, kind, f):
        boxes = self.boxes
        if kind == 1:
            self.make("INBOX")
        elif kind == 2:
            self.make(f[0])
        elif kind == 3:
            del boxes[f[0]]
        elif kind == 4:
            self.rename(boxes[f[0]], f[1])
        elif kind == 6:
            for m in f[2]:
                boxes[f[0]].add(message(m))
        elif kind == 7:
            for u in uids_of(f[1]):
                m = boxes[f[0]].messages[u]
                kept = [] if f[2] == 1 else without(m["flags"], f[3])
                m["flags"] = kept if f[2] == 3 else kept + list(f[3])
        elif kind == 8:
            for u in uids_of(f[1]):
                del boxes[f[0]].messages[u]
        elif kind == 9:
            for u in uids_of(f[2]):
                boxes[f[1]].add(dict(boxes[f[0]].messages[u]))
                if f[3]:
                    del boxes[f[0]].messages[u]
        elif kind == 11:
            for m in f[2]:
                boxes[self.folder(f[0])].add(message(m))
        elif kind == 12:
            for record in f[0]:
                self.apply(record[0], unpack(record, 1)[0])
        elif kind == 13:
            for u, m in zip(uids_of(f[2]), f[4]):
                boxes[f[0]].add(message(m), u)
            boxes[f[0]].next = max(boxes[f[0]].next, f[3])
        elif kind == 14:
            boxes[self.next_id] = Box(boxes.pop(f[0]).name)
            self.next_id += 1
        elif kind == 15:
            self.next_id = max(self.next_id, f[1])
        elif kind not in (5, 10, 16):  # subscriptions, \Recent, a change of identity that begins
            raise SystemExit("an event of kind %d: this program is older than the store" % kind)

    def rename(self, box, name):
        if "/" in name:
            self.make(name.rsplit("/", 1)[0])
        if box.name == "INBOX":
            moved = Box(name, box.next)
            moved.messages, box.messages = box.messages, {}
            self.boxes[self.next_id] = moved
            self.next_id += 1
            return
        old = box.name
        for b in self.boxes.values():
            if b.name == old or b.name.startswith(old + "/"):
                b.name = name + b.name[len(old):]

    def folder(self, name):
        lower = name.encode().lower()  # of ASCII letters only
        for b in sorted(self.boxes.values(), key=lambda b: (b.name != name, b.name.encode())):
            if b.name == name or b.name.encode().lower() == lower:
                return self.named(b.name)
        return self.named("INBOX")


# -- The log: format-log.md ---------------------------------------------------


class Account:
    def __init__(self, path, seeds, identity_file):
        self.path, self.identity_file = path, identity_file
        self.id = bytes.fromhex(os.path.basename(path))
        key = lambda label: [hkdf(seed, b"letterlock/v1/identity", label) for seed in seeds]
        self.log_keys, self.snap_keys = key(b"letterlock/v1/log"), key(b"letterlock/v1/snapshot")
        self.deliver_keys = key(b"letterlock/v2/deliver")
        self.closed = {}  # epochs in which every entry has a MAC

    def open(self, keys, sealed, aad):
        """Opens what may be sealed under the identity of any time."""
        for key in keys:
            try:
                return open_sealed(key, sealed, aad)
            except ValueError:
                pass
        raise ValueError("does not open")

    def read(self, name):
        with open(os.path.join(self.path, *name.split("/")), "rb") as f:
            return f.read()

    def numbers(self, kind):
        try:
            names = os.listdir(os.path.join(self.path, kind))
        except FileNotFoundError:
            return []
        return sorted(int(n) for n in names if len(n) == 16 and n.isdigit())

    def records(self, at):
        b = self.read("log/%016d" % at)
        if b[:4] != b"LLE\x02":
            raise ValueError("is no entry")
        kind, epoch, end = b[4] & 0x3F, int.from_bytes(b[13:17], "big"), len(b)
        if b[4] & 0x80:
            end -= 32
        if kind == 4:
            return kind, []
        if kind == 2:
            if self.closed.get(epoch) and not self.delivered(epoch, b, end):
                raise ValueError("was not delivered by who may deliver")
            payload = age(self.identity_file, b[49:end])
            if payload[:32] != hashlib.sha256(self.id + b[:49]).digest():
                raise ValueError("is of another place")
            payload = payload[32:]
        else:
            payload = self.open(self.log_keys, b[49:end], self.id + b[:49])
        out, i = [], 1
        while i < len(payload):
            n = int.from_bytes(payload[i:i + 4], "big")
            out.append(payload[i + 4:i + 4 + n])
            i += 4 + n
        if kind == 3:  # the first record says whose identity begins the epoch, and its terms
            self.closed[epoch] = out.pop(0)[32] == 2
            kind = 1
        return kind, out

    def delivered(self, epoch, b, end):
        """Whether an entry of a closed epoch has its MAC."""
        macs = [hmac.new(hkdf(k, b"letterlock/v1/key", b"%d" % epoch), b"entry" + self.id + b[:end], hashlib.sha256).digest()
                for k in self.deliver_keys]
        return b[4] & 0x80 and b[end:] in macs

    def mine(self):
        """Whether an identity opens the account: one of its snapshots, or of its first entries."""
        for kind, keys, head in (("snap", self.snap_keys, 69), ("log", self.log_keys, 49)):
            for at in self.numbers(kind)[:10]:
                b = self.read("%s/%016d" % (kind, at))
                if kind == "log" and b[4:5] in (b"\x02", b"\x82"):
                    continue
                end = len(b) - 32 if kind == "log" and b[4] & 0x80 else len(b)
                try:
                    self.open(keys, b[head:end], self.id + b[:head])
                    return True
                except ValueError:
                    pass
        return False

    def snapshot(self):
        """The newest snapshot of the newest identity, and its position."""
        for at in reversed(self.numbers("snap")):
            try:
                b = self.read("snap/%016d" % at)
                manifest = unpack(open_sealed(self.snap_keys[0], b[69:], self.id + b[:69]))[0]
                self.closed[int.from_bytes(b[56:60], "big")] = b[60] == 2
                return at, manifest
            except ValueError as e:
                try:
                    self.open(self.snap_keys[1:], b[69:], self.id + b[:69])  # of an identity before: it does not count
                except ValueError:
                    warn("snap/%016d %s" % (at, e))
        return 0, None

    def page(self, packs, line):
        """The rows of a page, from its line in a manifest."""
        number, off, size, plain = struct.unpack(">HIII", line[:14])
        secret, digest = line[14:30], line[30:62]
        b = self.read("pack/" + packs[20 * number:20 * number + 16].hex())[off:off + size]
        if hashlib.sha256(b).digest() != digest:
            raise ValueError("is not what the snapshot names")
        key = hkdf(secret, b"", b"letterlock/v2/block")
        p = open_ietf(key, bytes(12), b[:-16], b[-16:], b"LLP\x02" + self.id + b"\x01")
        tail = int.from_bytes(p[3:7], "big")
        p = p[7:] if p[2] == 0 else zlib.decompress(p[7:len(p) - tail], -15) + p[len(p) - tail:]
        rows = struct.unpack(">H", p[1:3])[0]
        i = 5
        columns = []
        for width in (4, 8, 8, 4, 8, 4):
            # The first byte of each row, then the second of each, and so on.
            columns.append([p[i + r:i + width * rows:rows] for r in range(rows)])
            i += width * rows
        bodies = p[len(p) - 50 * rows:]
        columns.append([bodies[50 * r:50 * (r + 1)] for r in range(rows)])
        return zip(*columns)

    def load(self):
        s = State()
        at, manifest = self.snapshot()
        if manifest:
            s.next_id = manifest[3]
            for box in manifest[8]:
                b = s.boxes[box[0]] = Box(box[1], box[3])
                keywords, pages = box[8], box[11]
                for i in range(0, len(pages), 92):
                    try:
                        self.fill(b, keywords, self.page(manifest[6], pages[i:i + 92]))
                    except (ValueError, OSError, zlib.error) as e:
                        warn("page %d of %r: %s" % (i // 92, box[1], e))
                b.next = box[3]
        for n in self.numbers("log"):
            if n <= at:
                continue
            try:
                kind, records = self.records(n)
            except (ValueError, OSError) as e:
                warn("log/%016d %s" % (n, e))
                continue
            for r in records:
                if kind == 1 or r[0] == 11:
                    try:
                        s.apply(r[0], unpack(r, 1)[0])
                    except (KeyError, ValueError) as e:
                        warn("log/%016d: an event does not fit what is left: %r" % (n, e))
        return s

    @staticmethod
    def fill(box, keywords, rows):
        for uid, flags, _, size, date, _, body in rows:
            bits = int.from_bytes(flags, "big")
            names = [f for i, f in enumerate(SYSTEM) if bits >> i & 1]
            names += [k for i, k in enumerate(keywords) if bits >> (8 + i) & 1]
            box.messages[int.from_bytes(uid, "big")] = {
                "body": body[:16].hex(), "size": int.from_bytes(size, "big"),
                "date": int.from_bytes(date, "big", signed=True), "flags": names,
            }


damage = 0


def warn(text):
    global damage
    damage += 1
    print("rescue: " + text, file=sys.stderr)


def main(store, identity_file, out=None):
    with open(identity_file) as f:
        seeds = [seed_of(line) for line in f if line.startswith("AGE-SECRET-KEY-PQ-1")]
    accounts = os.path.join(store, "acct")
    found = [Account(os.path.join(accounts, n), seeds, identity_file) for n in sorted(os.listdir(accounts))]
    found = [a for a in found if a.mine()]
    if not found:
        raise SystemExit("rescue: the identity is of no account here")
    for a in found:
        for box in sorted(a.load().boxes.values(), key=lambda b: b.name.encode()):
            for uid, m in sorted(box.messages.items()):
                body = os.path.join(a.path, "body", m["body"])
                try:
                    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(m["date"]))
                except (ValueError, OverflowError, OSError):
                    date = str(m["date"])
                print("\t".join([box.name, str(uid), " ".join(sorted(m["flags"])), date, str(m["size"]), body]))
                if out:
                    save(a, os.path.join(out, *(l.replace("..", "%2E%2E") for l in box.name.split("/"))), uid, body)


def save(account, folder, uid, body):
    os.makedirs(folder, exist_ok=True)
    try:
        with open(body, "rb") as f:
            text = age(account.identity_file, f.read())
        with open(os.path.join(folder, "%010d.eml" % uid), "xb") as f:
            f.write(text)
    except (ValueError, OSError) as e:
        warn("%s: %s" % (body, e))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
    sys.exit(1 if damage else 0)
