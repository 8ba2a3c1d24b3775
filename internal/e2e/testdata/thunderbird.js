// What a test has Thunderbird do, as the body of a function that runs inside it.
// Its arguments are a step's name, the step's arguments, and a callback, which gets
// the step's result, or an error.
const { MailServices } = ChromeUtils.importESModule('resource:///modules/MailServices.sys.mjs');
const [name, ...rest] = arguments;
const done = rest.pop();

async function until(what, look) {
    for (const end = Date.now() + 90000; Date.now() < end; await new Promise(resolve => window.setTimeout(resolve, 50))) {
        const found = look();
        if (found) return found;
    }
    throw new Error(`never: ${what}`);
}

// pane is the window with the folders, the list of messages and a message.
const pane = () =>
    until('the three panes', () => {
        const win = window.document.getElementById('tabmail')?.currentTabInfo?.chromeBrowser?.contentWindow;
        return win?.document.readyState === 'complete' && win.displayFolder && win;
    });

const headers = win => Array.from({ length: win.gDBView?.rowCount ?? 0 }, (_, row) => win.gDBView.getMsgHdrAt(row));

const row = (win, subject) => until(subject, () => headers(win).findIndex(h => h.mime2DecodedSubject === subject) + 1);

const steps = {
    // password keeps the password of an IMAP server.
    async password(host, user, password) {
        const login = Cc['@mozilla.org/login-manager/loginInfo;1'].createInstance(Ci.nsILoginInfo);
        login.init(`imap://${host}`, null, `imap://${host}`, user, password, '', '');
        await Services.logins.addLoginAsync(login);
    },
    // open shows the inbox of an account.
    async open(host, user) {
        const server = MailServices.accounts.findServer(user, host, 'imap');
        server.performExpand(null);
        const inbox = await until('the inbox', () => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
        (await pane()).displayFolder(inbox.URI);
    },
    // listed waits until the list shows these subjects, in any order.
    async listed(subjects) {
        const win = await pane();
        await until(`the list of ${subjects.length}`, () => {
            const got = headers(win).map(h => h.mime2DecodedSubject).sort();
            return JSON.stringify(got) === JSON.stringify([...subjects].sort());
        });
    },
    // show displays a message, which reads its body.
    async show(subject) {
        const win = await pane();
        win.threadTree.selectedIndex = (await row(win, subject)) - 1;
    },
    async flag(subject) {
        const win = await pane();
        const header = headers(win)[(await row(win, subject)) - 1];
        header.folder.markMessagesFlagged([header], true);
    }
};

steps[name](...rest).then(
    () => done(null),
    err => done(String(err))
);
