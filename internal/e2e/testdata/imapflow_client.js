// A session of ImapFlow with a server: node imapflow_client.js HOST PORT USER PASSWORD
//
// Prints "all well" at the end; any other end is a failure.
'use strict';
const assert = require('node:assert');
const { ImapFlow } = require('imapflow');

const [host, port, user, pass] = process.argv.slice(2);
const client = () =>
    new ImapFlow({ host, port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger: false });

const mail = n =>
    [
        'From: =?utf-8?Q?Zo=C3=AB?= <zoe@example.org>',
        'To: ann@example.org',
        `Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= ${n}`,
        `Message-ID: <imapflow-${n}@example.org>`,
        'MIME-Version: 1.0',
        'Content-Type: multipart/mixed; boundary=b',
        '',
        '--b',
        'Content-Type: text/plain; charset=utf-8',
        '',
        `Text ${n}`,
        '--b',
        'Content-Type: application/octet-stream; name=data.bin',
        'Content-Transfer-Encoding: base64',
        'Content-Disposition: attachment; filename=data.bin',
        '',
        Buffer.from(`attached ${n}`).toString('base64'),
        '--b--',
        ''
    ].join('\r\n');

const text = async stream => {
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
};

async function main() {
    const c = client();
    await c.connect();
    await c.mailboxCreate(['Projects', 'Überblick']);
    const box = 'Projects/Überblick';
    assert((await c.list()).some(b => b.path === box));
    for (let n = 1; n <= 3; n++) {
        const added = await c.append(box, mail(n), n === 1 ? ['\\Seen'] : [], new Date('2026-03-02T10:00:00Z'));
        assert.equal(added.uid, n);
    }
    await c.mailboxOpen(box);
    assert.equal(c.mailbox.exists, 3);
    const subjects = [];
    for await (const m of c.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true })) {
        subjects.push(m.envelope.subject);
        assert.equal(m.envelope.from[0].name, 'Zoë');
        assert.equal(m.bodyStructure.childNodes.length, 2);
        assert.equal(m.bodyStructure.childNodes[1].dispositionParameters.filename, 'data.bin');
        assert.equal(m.size, Buffer.byteLength(mail(m.uid)));
        assert.equal(m.internalDate.toISOString(), '2026-03-02T10:00:00.000Z');
    }
    assert.deepEqual(subjects, ['Grüße 1', 'Grüße 2', 'Grüße 3']);
    assert.equal((await c.fetchOne('2', { source: true }, { uid: true })).source.toString(), mail(2));
    const part = await c.download('3', '2', { uid: true });
    assert.equal(await text(part.content), 'attached 3');
    assert.deepEqual(await c.search({ seen: false }, { uid: true }), [2, 3]);
    assert.deepEqual(await c.search({ subject: 'Grüße 3' }, { uid: true }), [3]);

    await c.messageFlagsAdd('2:3', ['\\Flagged', 'project'], { uid: true });
    const moved = await c.messageMove('2', 'INBOX', { uid: true });
    assert.equal(moved.uidMap.get(2), 1);
    const copied = await c.messageCopy('3', 'INBOX', { uid: true });
    assert.equal(copied.uidMap.get(3), 2);
    assert.deepEqual((await c.status('INBOX', { messages: true, unseen: true, uidNext: true })).messages, 2);
    await c.messageDelete('3', { uid: true });
    assert.deepEqual(await c.search({ all: true }, { uid: true }), [1]);

    // A session that waits is told of what another one adds.
    await c.mailboxOpen('INBOX');
    const told = new Promise(resolve => c.once('exists', resolve));
    const waiting = c.idle();
    const other = client();
    await other.connect();
    await other.append('INBOX', mail(4));
    const event = await told;
    assert.equal(event.count, 3);
    await c.noop(); // ends IDLE
    await waiting;
    const first = await c.fetchOne('1', { flags: true });
    assert(first.flags.has('\\Flagged') && first.flags.has('project'));

    // A session that comes back asks for what changed, and is told what is gone.
    const back = new ImapFlow({ host, port: Number(port), secure: false, doSTARTTLS: false, auth: { user, pass }, logger: false, qresync: true });
    await back.connect();
    await back.mailboxOpen('INBOX');
    assert(back.enabled.has('QRESYNC'));
    const since = back.mailbox.highestModseq;
    assert(since > 0n);
    assert(back.mailbox.mailboxId);
    const gone = new Promise(resolve => back.once('expunge', resolve));
    await other.mailboxOpen('INBOX');
    await other.messageFlagsAdd('2', ['$later']);
    await other.messageDelete('3');
    await back.noop();
    assert.equal((await gone).uid, 3);
    const changed = [];
    for await (const m of back.fetch('1:*', { uid: true, flags: true }, { changedSince: since })) {
        changed.push(m.uid);
        assert(m.modseq > since && m.flags.has('$later'));
    }
    assert.deepEqual(changed, [2]);
    assert((await back.fetchOne('1', { uid: true })).emailId);
    await back.logout();

    await c.mailboxRename(box, ['Projects', 'Done']);
    await c.mailboxDelete(['Projects', 'Done']);
    await other.logout();
    await c.logout();
    console.log('all well');
}

main().catch(err => {
    console.error(err);
    process.exit(1);
});
