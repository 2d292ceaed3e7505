import assert from 'node:assert';
import { test } from 'node:test';
import { readConfig } from './config.js';

test('a configuration is read with its defaults', () => {
  assert.deepEqual(readConfig('url: ws://x/'), { url: 'ws://x/', subprotocols: [], hello: [] });
  assert.deepEqual(readConfig('{url: "wss://x", hello: a, subprotocols: [b]}'), { url: 'wss://x', subprotocols: ['b'], hello: ['a'] });
});

test('what cannot work is said', () => {
  for (const [text, words] of [
    ['', 'url: expected'],
    ['url: http://x/', 'url: expected'],
    ['url: ws://x/\nhallo: a', 'hallo: unknown'],
    ['url: ws://x/\nhello: {a: b}', 'hello: expected texts'],
  ] as const) {
    assert.throws(() => readConfig(text), new RegExp(words));
  }
});
