import { parse } from 'yaml';

/** What stands in the ConfigMap. */
export interface Config {
  url: string;
  subprotocols: string[];
  /** Sent when the connection is open: a subscription, say. */
  hello: string[];
}

/** Reads a configuration; throws an Error whose words are for the person who wrote it. */
export function readConfig(text: string): Config {
  const { url, subprotocols = [], hello = [], ...rest } = (parse(text) ?? {}) as Record<string, unknown>;
  const unknown = Object.keys(rest);
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: unknown; expected url, subprotocols, hello`);
  if (typeof url !== 'string' || !/^wss?:\/\/[^/]/.test(url)) throw new Error('url: expected ws://… or wss://…');
  return { url, subprotocols: texts('subprotocols', subprotocols), hello: texts('hello', hello) };
}

function texts(name: string, value: unknown): string[] {
  const list = Array.isArray(value) ? value : [value];
  if (!list.every((each) => typeof each === 'string')) throw new Error(`${name}: expected texts`);
  return list;
}
