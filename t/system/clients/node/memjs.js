'use strict';
// A session of npm's memjs: binary, everything through one connection by opaque.
const { check, client, sleep } = require('./check');
const memjs = client('memjs');

const server = `${process.argv[2]}:${process.argv[3]}`;
const quiet = { log() {} };
const mc = memjs.Client.create(server, { timeout: 30, conntimeout: 30, logger: quiet });

// The result, or the words of what went wrong.
async function result(method, ...args) {
  try {
    return await mc[method](...args);
  } catch (error) {
    return `error: ${error.message}`;
  }
}

async function text(key) {
  const got = await result('get', key);
  return got.value === null ? null : got.value === undefined ? got : got.value.toString();
}

function stats(method, ...args) {
  return new Promise((resolve) => {
    mc[method](...args, (error, name, rows) => resolve(error ? String(error) : rows));
  });
}

async function values() {
  check(await result('flush'), { [server]: true }, 'flush');
  const bytes = Buffer.from(Array.from({ length: 70000 }, (_, i) => i * 7 % 256));
  const stored = [Buffer.from('text'), Buffer.from(''), Buffer.from('\0\r\nEND\r\n'), bytes,
    Buffer.alloc(1000000, 'y')];
  for (const [i, value] of stored.entries()) {
    check(await result('set', `v${i}`, value), true, `set of value ${i}`);
    const got = await result('get', `v${i}`);
    check(got.value !== null && value.equals(got.value), true, `get of value ${i}`);
    check(got.flags.toString('hex'), '00000000', `flags of value ${i}`);
  }
  check(await result('set', 'key with \r\n and \0', 'x'), true, 'set of a binary key');
  check(await text('key with \r\n and \0'), 'x', 'get of a binary key');
  check(await text('missing'), null, 'get misses');
}

async function conditions() {
  check([await result('add', 'a', 'one'), await result('add', 'a', 'two')], [true, false],
    'add, and add that fails');
  check([await result('replace', 'a', 'three'), await result('replace', 'none', 'x')],
    [true, false], 'replace, and replace that fails');
  check([await result('append', 'a', '>'), await result('append', 'none', 'x')],
    [true, 'error: MemJS APPEND: Item not stored'], 'append');
  check(await text('a'), 'three>', 'and the value');
  check([await result('delete', 'a'), await result('delete', 'a')], [true, false], 'delete');
  check(await text('a'), null, 'and it is gone');
}

async function counting() {
  const made = await result('increment', 'n', 5, { initial: 7 });
  check(made, { success: true, value: 7 }, 'increment creates');
  check(await result('increment', 'n', 5, { initial: 7 }), { success: true, value: 12 },
    'and then counts');
  check(await result('decrement', 'n', 2, {}), { success: true, value: 10 }, 'decrement');
  check(await result('decrement', 'n', 100, {}), { success: true, value: 0 }, 'it stops at 0');
  await result('set', 'word', 'abc');
  check(/^error: .*on-numeric/.test(await result('increment', 'word', 1, {})), true,
    'increment of a word');
}

async function many() {
  const keys = Array.from({ length: 1000 }, (_, i) => `m${i}`);
  const sets = await Promise.all(keys.map((key, i) => result('set', key, `value ${i}`)));
  check(sets.every((one) => one === true), true, 'a thousand sets at once');
  const got = await Promise.all(keys.map(text));
  check(got.every((one, i) => one === `value ${i}`), true, 'a thousand gets at once');
  const missed = await Promise.all(keys.map((key) => text(`no-${key}`)));
  check(missed.every((one) => one === null), true, 'a thousand misses at once');
}

async function time() {
  check([await result('touch', 'm1', 100), await result('touch', 'none', 100)], [true, false],
    'touch');
  check(await result('set', 'short', 'x', { expires: 1 }), true, 'set with a time');
  check(await result('touch', 'm2', 1), true, 'touch with a short time');
  await result('increment', 'short counter', 1, { initial: 1, expires: 1 });
  await sleep(2100);
  check([await text('short'), await text('m2'), await text('short counter'), await text('m1')],
    [null, null, null, 'value 1'], 'expiry');
}

async function statistics() {
  const rows = await stats('stats');
  check(Number(rows.curr_items) > 1000 && Number(rows.pid) > 0, true, 'stats');
  check((await stats('statsWithKey', 'settings')).item_size_max, '1048576', 'stats settings');
  const items = await stats('statsWithKey', 'items');
  check(Object.keys(items).some((name) => /^items:\d+:number$/.test(name)), true, 'stats items');
  check('active_slabs' in await stats('statsWithKey', 'slabs'), true, 'stats slabs');
  await new Promise((resolve) => mc.resetStats(resolve));
  check((await stats('stats')).cmd_set, '0', 'resetStats');
}

async function end() {
  check(/^error: .*oo large/.test(await result('set', 'large', Buffer.alloc(2000000, 'z'))), true,
    'too large a value');
  check(await text('m1'), 'value 1', 'the connection is in step');
  check(await result('flush'), { [server]: true }, 'flush again');
  check(await text('m1'), null, 'and everything is gone');
  mc.quit();
  await sleep(100);
  mc.close();
}

(async () => {
  for (const part of [values, conditions, counting, many, time, statistics, end]) {
    await part();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
