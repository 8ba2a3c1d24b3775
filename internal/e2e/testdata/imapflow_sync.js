// ImapFlow comes back to a mailbox that changed: node imapflow_sync.js HOST PORT USER PASSWORD
//
// Prints the extensions that it used, and "all well" at the end; any other end is
// a failure.
'use strict';
const assert = require('node:assert');
const { ImapFlow } = require('imapflow');

const [host, port, user, pass] = process.argv.slice(2);
const client = () =>
    new ImapFlow({
        host,
        port: Number(port),
        secure: false,
        doSTARTTLS: false,
        auth: { user, pass },
        logger: false,
        qresync: true,
        clientInfo: { name: 'imapflow-test', version: '1' }
    });

const mail = n => `From: bob@example.org\r\nSubject: mail ${n}\r\nMessage-ID: <sync-${n}@example.org>\r\n\r\nText ${n}\r\n`;

// known is what a client keeps of a mailbox: flags and IDs by UID.
async function known(c) {
    const out = {};
    for await (const m of c.fetch('1:*', { uid: true, flags: true, threadId: true })) {
        assert(m.modseq > 0n && m.emailId && m.threadId, 'MODSEQ, EMAILID and THREADID of every message');
        out[m.uid] = { flags: [...m.flags].filter(f => f !== '\\Recent').sort(), emailId: m.emailId, threadId: m.threadId };
    }
    return out;
}

// heard collects what a client is told by itself until it is taken.
function heard(c) {
    const out = { flags: {}, vanished: [], earlier: [] };
    c.on('flags', e => (out.flags[e.uid] = [...e.flags].filter(f => f !== '\\Recent').sort()));
    c.on('expunge', e => {
        assert(e.vanished, 'UIDs, not numbers');
        out[e.earlier ? 'earlier' : 'vanished'].push(e.uid);
    });
    return out;
}

const event = (c, name) => new Promise(resolve => c.once(name, resolve));

// resync comes back with what was kept, and must have the truth after it.
async function resync(kept, before) {
    const c = client();
    await c.connect();
    const news = heard(c);
    const box = await c.mailboxOpen('INBOX', { uidValidity: before.uidValidity, changedSince: before.highestModseq });
    assert.strictEqual(box.qresync, true);
    assert.deepEqual(news.earlier, [3, 4, 7]);
    assert.deepEqual(news.vanished, []);
    assert.deepEqual(Object.keys(news.flags), ['2', '5', '9'], 'what changed, and what is new');
    for (const uid of news.earlier) delete kept[uid];
    for (const uid in news.flags) kept[uid] = { ...kept[uid], flags: news.flags[uid] };
    const now = await known(c);
    for (const uid in kept) assert.deepEqual(kept[uid].flags, now[uid].flags);
    assert.deepEqual(Object.keys(kept), Object.keys(now));

    // The other way, by CONDSTORE alone.
    const changed = [];
    for await (const m of c.fetch('1:*', { uid: true, flags: true }, { uid: true, changedSince: before.highestModseq })) changed.push(m.uid);
    assert.deepEqual(changed, [2, 5, 9]);
    return c;
}

// waits has a client in IDLE told of what another does.
async function waits(c, other) {
    const news = heard(c);
    let told = event(c, 'exists');
    const idle = c.idle();
    await other.append('INBOX', mail(10));
    assert.equal((await told).count, 7);
    told = event(c, 'flags');
    await other.messageFlagsAdd('10', ['\\Flagged'], { uid: true });
    const flagged = await told;
    assert(flagged.modseq > 0n && flagged.uid === 10);
    told = event(c, 'expunge');
    await other.messageDelete('10', { uid: true });
    await told;
    await c.noop(); // ends IDLE
    await idle;
    assert.deepEqual(news.vanished, [10]);
}

// moves sees the IDs of messages stay and mailboxes keep theirs.
async function moves(c) {
    const before = (await known(c))[1];
    const archive = await c.mailboxCreate('Archive');
    const uid = (await c.messageMove('1', 'Archive', { uid: true })).uidMap.get(1);
    const box = await c.mailboxOpen('Archive');
    assert(box.mailboxId);
    if (archive.mailboxId) assert.equal(archive.mailboxId, box.mailboxId);
    assert.deepEqual((await known(c))[uid], before, 'flags, EMAILID and THREADID after a move');
    assert.deepEqual(await c.search({ emailId: before.emailId }, { uid: true }), [uid]);
    await c.mailboxClose();
    await c.mailboxRename('Archive', 'Kept');
    assert.equal((await c.mailboxOpen('Kept')).mailboxId, box.mailboxId);
}

async function main() {
    const c = client();
    await c.connect();
    assert.equal(c.serverInfo.name, 'letterlock');
    for (const name of ['CONDSTORE', 'QRESYNC']) assert(c.enabled.has(name), name);
    for (let n = 1; n <= 8; n++) await c.append('INBOX', mail(n), n % 2 ? ['\\Seen'] : []);
    const before = await c.mailboxOpen('INBOX');
    assert(before.highestModseq > 0n && before.mailboxId);
    const kept = await known(c);
    await c.logout();

    const other = client();
    await other.connect();
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd('2', ['\\Seen', 'project'], { uid: true });
    await other.messageFlagsRemove('5', ['\\Seen'], { uid: true });
    await other.messageDelete('3:4,7', { uid: true });
    await other.append('INBOX', mail(9));

    // A change made upon what is no longer so is not taken.
    await other.messageFlagsAdd('2', ['\\Answered'], { uid: true, unchangedSince: before.highestModseq });
    assert(!(await other.fetchOne('2', { flags: true }, { uid: true })).flags.has('\\Answered'));

    const back = await resync(kept, before);
    await waits(back, other);
    await moves(back);
    const used = ['CONDSTORE', 'QRESYNC'].filter(name => back.enabled.has(name));
    if (back._deflate) used.push('COMPRESS');
    await other.logout();
    await back.logout();
    console.log(`${used.join(' ')}\nall well`);
}

main().catch(err => {
    console.error(err);
    process.exit(1);
});
