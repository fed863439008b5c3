// Keeps pages up to date. Every page works without it.
'use strict';

const one = (selector, within = document) => within.querySelector(selector);

// Times grow by themselves.

function duration(ms) {
  const s = ms / 1000;
  const two = n => String(Math.floor(n)).padStart(2, '0');
  if (s < 1) return `${Math.max(0, Math.floor(ms))}ms`;
  if (s < 10) return `${s.toFixed(1)}s`;
  if (s < 60) return `${Math.floor(s)}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(s / 60 % 60)}m`;
  return `${Math.floor(s / 86400)}d`;
}

function tick() {
  for (const t of document.querySelectorAll('time[data-since], time[data-ago]')) {
    const past = Date.now() - Date.parse(t.dateTime);
    let text = duration(Math.max(past, 0));
    if ('ago' in t.dataset) text = past < -1000 ? 'in ' + duration(-past) : past < 5000 ? 'now' : text + ' ago';
    if (t.textContent !== text) t.textContent = text;
  }
}
setInterval(tick, 1000);

// Parts of the page are fetched anew when the server says that something has changed.

const key = n => n.dataset?.key || n.id || '';

// morph makes a like b and keeps what is the same, so that focus and selection stay.
function morph(a, b) {
  if (a.isEqualNode(b)) return;
  if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName || key(a) !== key(b)) {
    a.replaceWith(document.importNode(b, true));
    return;
  }
  if (a.nodeType !== Node.ELEMENT_NODE) {
    a.nodeValue = b.nodeValue;
    return;
  }
  for (const {name} of [...a.attributes]) if (!b.hasAttribute(name) && name !== 'open') a.removeAttribute(name);
  for (const {name, value} of b.attributes) if (name !== 'open' && a.getAttribute(name) !== value) a.setAttribute(name, value);
  let at = a.firstChild;
  for (const n of b.childNodes) {
    if (at && key(n) && key(n) !== key(at)) {
      const known = [...a.children].find(c => key(c) === key(n));
      a.insertBefore(known || document.importNode(n, true), at);
      if (known) morph(known, n);
    } else if (at) {
      const next = at.nextSibling;
      morph(at, n);
      at = next;
    } else {
      a.append(document.importNode(n, true));
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

async function page(address) {
  const r = await fetch(address, {headers: {Accept: 'text/html'}});
  if (r.redirected && new URL(r.url).pathname.endsWith('/sign-in')) location.reload();
  if (!r.ok) throw new Error(r.status);
  return new DOMParser().parseFromString(await r.text(), 'text/html');
}

let refreshing = false, again = false;

async function refresh() {
  if (refreshing) { again = true; return; }
  refreshing = true;
  try {
    const address = new URL(location.href);
    address.hash = '';
    if (rows) address.searchParams.set('bare', '1');
    const fresh = await page(address);
    const before = one('#verdict')?.textContent.trim();
    for (const part of document.querySelectorAll('[data-part]')) {
      const n = fresh.getElementById(part.id);
      if (n) morph(part, n);
    }
    const after = one('#verdict')?.textContent.trim();
    if (after && before !== after) say(after.replace(/^\S+\s+/, 'The run is now: '));
  } catch { /* the next change tries again */ }
  refreshing = false;
  if (again) { again = false; refresh(); }
}

const say = text => { one('#said').textContent = text; };

// Streams.

const rows = one('#rows');
let stream = null, reached = '', ended = false;
const address = rows?.dataset.live || (rows ? '' : document.body.dataset.live);

function mark(state) {
  const m = one('#live');
  if (!m) return;
  m.hidden = false;
  m.classList.toggle('lost', state !== 'live');
  one('#live-text').textContent = state;
}

function connect() {
  if (!address || stream || ended) return;
  const at = new URL(address, location.href);
  if (reached) at.searchParams.set('page', reached);
  stream = new EventSource(at);
  stream.onopen = () => { mark('live'); refresh(); }; // what happened before was not told
  stream.onerror = () => {
    mark('reconnecting');
    if (stream?.readyState === EventSource.CLOSED) {
      stream = null;
      setTimeout(connect, 3000);
    }
  };
  stream.addEventListener('change', refresh);
  stream.addEventListener('rows', e => { reached = e.lastEventId; show(JSON.parse(e.data)); });
  stream.addEventListener('end', () => { ended = true; disconnect(); mark('done'); refresh(); });
}

function disconnect() {
  stream?.close();
  stream = null;
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) { disconnect(); } else { connect(); }
});

// The console.

const most = 5000; // rows that are kept of one that goes on and on
let following = false;

// show takes rows in: one that is there already is replaced by what it has become.
function show(html) {
  const fresh = new DOMParser().parseFromString(html, 'text/html');
  for (const n of [...fresh.body.children]) {
    const old = document.getElementById(n.id);
    if (old) old.replaceWith(n); else rows.append(n);
  }
  while (rows.childElementCount > most) rows.firstElementChild.remove();
  if (following) scrollTo({top: document.documentElement.scrollHeight});
}

function follow(on) {
  following = on;
  const b = one('#follow');
  b.setAttribute('aria-pressed', on);
  if (on) scrollTo({top: document.documentElement.scrollHeight});
}

if (rows && address) {
  const b = one('#follow');
  b.hidden = false;
  b.addEventListener('click', () => follow(!following));
  addEventListener('wheel', e => { if (following && e.deltaY < 0) follow(false); }, {passive: true});
  addEventListener('touchmove', () => { if (following) follow(false); }, {passive: true});
  addEventListener('keydown', e => { if (following && ['PageUp', 'ArrowUp', 'Home'].includes(e.key)) follow(false); });
}

// Earlier and later lines come into the page.
async function more(link, before) {
  const nav = link.closest('nav');
  const fresh = await page(link.href);
  const got = [...one('#rows', fresh).children].map(n => document.importNode(n, true)).filter(n => !document.getElementById(n.id));
  const height = document.documentElement.scrollHeight;
  if (before) rows.prepend(...got); else rows.append(...got);
  if (before) scrollBy(0, document.documentElement.scrollHeight - height);
  const next = one('#' + link.id, fresh);
  if (next) link.href = next.href; else nav.remove();
}

for (const id of ['older', 'newer']) {
  one('#' + id)?.addEventListener('click', e => {
    e.preventDefault();
    const link = e.currentTarget; // gone from the event by the time that an answer is there
    more(link, id === 'older').catch(() => { location = link.href; });
  });
}

// A link to a line that is not on this page leads to the page that has it.
function find() {
  const line = /^#L(\d+)/.exec(location.hash)?.[1];
  if (!rows || !line || document.getElementById(location.hash.slice(1))) return;
  const at = new URL(location.href);
  if (at.searchParams.get('line') === line) return;
  at.search = '?line=' + line;
  location.replace(at);
}
addEventListener('hashchange', find);

addEventListener('keydown', e => {
  if (e.key !== '/' || e.ctrlKey || e.metaKey || e.altKey || e.target.closest('input, textarea, select')) return;
  const q = one('#q');
  if (q) { e.preventDefault(); q.focus(); }
});

tick();
find();
connect();
