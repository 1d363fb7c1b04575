'use strict';
// A session of npm's memcached: text, several connections at once.
const { check, client, sleep } = require('./check');
const Memcached = client('memcached');

const server = `${process.argv[2]}:${process.argv[3]}`;
const mc = new Memcached(server, { timeout: 30000, retries: 0, poolSize: 5, maxValue: 4 << 20 });
const issues = [];
mc.on('issue', (details) => issues.push(...details.messages));

// [what went wrong, or null; the result].  The client empties its arrays behind the callback.
function ask(method, ...args) {
  return new Promise((resolve) => {
    mc[method](...args, (error, result) => resolve([error ? error.message || 'error' : null,
      Array.isArray(result) ? result.slice() : result]));
  });
}

async function result(method, ...args) {
  const [error, value] = await ask(method, ...args);
  return error === null ? value : `error: ${error}`;
}

async function values() {
  check(await result('flush'), [true], 'flush');
  const stored = ['text', '', 'two\r\nlines', 'ü€\u{10348}', 17, 2.5,
    { list: [1, 'two', null], deep: { x: true } }, 'x'.repeat(100000), 'y'.repeat(1000000)];
  for (const [i, value] of stored.entries()) {
    check(await result('set', `v${i}`, value, 100), true, `set of value ${i}`);
    check(await result('get', `v${i}`), value, `get of value ${i}`);
  }
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
  check(await result('set', 'bytes', bytes, 100), true, 'set of bytes');
  const got = await result('get', 'bytes');
  check(Buffer.isBuffer(got), true, 'flags bring a buffer back');
  check(await result('get', 'missing'), undefined, 'get misses');
}

async function conditions() {
  check(await result('add', 'a', 'one', 0), true, 'add');
  check((await ask('add', 'a', 'two', 0))[0], 'Item is not stored', 'add that fails');
  check(await result('replace', 'a', 'three', 0), true, 'replace');
  check((await ask('replace', 'none', 'x', 0))[0], 'Item is not stored', 'replace that fails');
  check([await result('append', 'a', '>'), await result('prepend', 'a', '<'),
    await result('get', 'a')], [true, true, '<three>'], 'append and prepend');
  const found = await result('gets', 'a');
  check(found.a, '<three>', 'gets');
  check(await result('cas', 'a', 'new', found.cas, 0), true, 'cas');
  check(await result('cas', 'a', 'newer', found.cas, 0), false, 'cas again');
  check(await result('get', 'a'), 'new', 'cas stored once');
  check(await result('cas', 'none', 'x', found.cas, 0), false, 'cas misses');
}

async function counting() {
  check(await result('set', 'n', 10, 0), true, 'set of a number');
  check([await result('incr', 'n', 5), await result('decr', 'n', 1)], [15, 14], 'incr and decr');
  check(await result('get', 'n'), 14, 'and the number is read');
  check(await result('decr', 'n', 100), 0, 'decr stops at 0');
  check(await result('incr', 'none', 1), false, 'incr misses');
  await result('set', 'word', 'abc', 0);
  check((await ask('incr', 'word', 1))[0],
    'cannot increment or decrement non-numeric value', 'incr of a word');
}

async function many() {
  const keys = Array.from({ length: 1000 }, (_, i) => `m${i}`);
  const sets = await Promise.all(keys.map((key, i) => result('set', key, `value ${i}`, 0)));
  check(sets.every((one) => one === true), true, 'a thousand sets at once');
  const got = await result('getMulti', keys.concat('no1', 'no2'));
  check(Object.keys(got).length, 1000, 'getMulti of a thousand');
  check(keys.every((key, i) => got[key] === `value ${i}`), true, 'and all values are right');
  const gets = await Promise.all(keys.map((key) => result('get', key)));
  check(gets.every((one, i) => one === `value ${i}`), true, 'a thousand gets at once');
  check([await result('del', 'm0'), await result('del', 'm0')], [true, false], 'delete');
}

async function time() {
  check(await result('touch', 'm1', 100), true, 'touch');
  check(await result('touch', 'none', 100), false, 'touch misses');
  check(await result('set', 'short', 'x', 1), true, 'set with a time');
  check(await result('touch', 'm2', 1), true, 'touch with a short time');
  await sleep(2100);
  check([await result('get', 'short'), await result('get', 'm2'), await result('get', 'm1')],
    [undefined, undefined, 'value 1'], 'expiry');
}

async function statistics() {
  const version = (await result('version'))[0];
  check([version.major, version.minor], ['1', '6'], 'version');
  const stats = (await result('stats'))[0];
  check(stats.curr_items > 1000 && stats.pid > 0, true, 'stats');
  check((await result('settings'))[0].item_size_max, 1048576, 'stats settings');
  const slabs = (await result('slabs'))[0];
  check(slabs.active_slabs !== undefined, true, 'stats slabs');
  const items = (await result('items'))[0];
  const classes = Object.keys(items).filter((name) => /^\d+$/.test(name));
  const number = classes.reduce((sum, id) => sum + items[id].number, 0);
  check(number, (await result('stats'))[0].curr_items, 'stats items');
  check(classes.every((id) => slabs[id].used_chunks > 0), true, 'its classes are those of slabs');
  const listed = new Set();
  for (const id of classes) {
    const rows = await result('cachedump', server, Number(id), 0);
    for (const row of [].concat(rows).filter((one) => one)) {
      listed.add(row.key);
    }
  }
  if (process.env.REFERENCE === undefined) { // memcached lists only what is cold
    check(['a', 'n', 'm1', 'm999'].every((key) => listed.has(key)), true, 'cachedump lists keys');
  }
}

async function end() {
  check([await result('set', 'large', 'z'.repeat(2000000), 0), issues],
    [false, ['object too large for cache']], 'too large a value');
  mc.end();
  const again = new Memcached(server);
  await new Promise((resolve) => again.get('a', (failure, value) => {
    check([failure === undefined || failure === null, value], [true, 'new'], 'a new client');
    resolve();
  }));
  await new Promise((resolve) => again.flush((failure) => resolve(failure)));
  await new Promise((resolve) => again.get('a', (failure, value) => {
    check(value, undefined, 'flush');
    resolve();
  }));
  again.end();
}

(async () => {
  for (const part of [values, conditions, counting, many, time, statistics, end]) {
    await part();
  }
  process.exit(0); // it keeps timers
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
