'use strict';
// What both sessions use: lines of a report, and the client or exit code 77 without it.

function check(got, want, name) {
  const a = JSON.stringify(got), b = JSON.stringify(want);
  console.log(a === b ? `ok ${name}`
    : `not ok ${name} - got ${String(a).slice(0, 200)}, want ${String(b).slice(0, 200)}`);
}

function client(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') {
      process.exit(77);
    }
    throw error;
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

module.exports = { check, client, sleep };
