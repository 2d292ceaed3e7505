/**
 * A gateway-server in TypeScript: messages of a WebSocket become events.
 *
 *     node dist/server.js --listen 127.0.0.1:9370
 *
 * It implements only generic.Eventing, the contract of one method. A WebSocket has no acknowledgements and no past, so
 * nothing more would help it.
 */
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { WebSocket } from 'ws';
import { type Config, readConfig } from './config.js';

interface EventSource {
  name: string;
  config: Buffer;
}
interface Event {
  name: string;
  payload: Buffer;
}
type Call = grpc.ServerWritableStream<EventSource, Event>;

const PROTO = fileURLToPath(new URL('../../../../proto/argo/generic/generic.proto', import.meta.url));
const PING_MS = 15_000;

/** Ends the stream with words; the gateway-client shows them, and calls again with back-off. */
function fail(call: Call, code: grpc.status, details: string): void {
  if (!call.cancelled) call.emit('error', { code, details });
}

function startEventSource(call: Call): void {
  const { name, config: text } = call.request;
  let config: Config;
  try {
    config = readConfig(text.toString());
  } catch (fault) {
    fail(call, grpc.status.INVALID_ARGUMENT, (fault as Error).message);
    return;
  }
  const socket = new WebSocket(config.url, config.subprotocols, { handshakeTimeout: 10_000, maxPayload: 3 << 20 });
  let alive = true;
  const pinger = setInterval(() => {
    if (!alive) return socket.terminate(); // half-open: nobody answered the last ping
    alive = false;
    if (socket.readyState === WebSocket.OPEN) socket.ping();
  }, PING_MS);

  socket.on('open', () => config.hello.forEach((message) => socket.send(message)));
  socket.on('pong', () => (alive = true));
  socket.on('message', (data) => {
    alive = true;
    const payload = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as ArrayBuffer);
    if (!call.write({ name, payload })) {
      socket.pause(); // the gateway-client does not read: neither do we
      call.once('drain', () => socket.resume());
    }
  });
  socket.on('error', (fault) => fail(call, grpc.status.UNAVAILABLE, `${config.url}: ${fault.message || 'cannot connect'}`));
  socket.on('close', (code, reason) => {
    clearInterval(pinger);
    fail(call, grpc.status.UNAVAILABLE, `${config.url}: closed with ${code}${reason.length > 0 ? ` (${reason})` : ''}`);
  });
  call.on('cancelled', () => {
    clearInterval(pinger);
    socket.terminate();
  });
}

const { values } = parseArgs({ options: { listen: { type: 'string', default: '127.0.0.1:9370' } } });
const definition = grpc.loadPackageDefinition(loadSync(PROTO, { keepCase: true }));
const generic = definition['generic'] as unknown as { Eventing: grpc.ServiceClientConstructor };
const server = new grpc.Server();
server.addService(generic.Eventing.service, { StartEventSource: startEventSource });
server.bindAsync(values.listen, grpc.ServerCredentials.createInsecure(), (fault) => {
  if (fault) {
    console.error(`cannot listen on ${values.listen}: ${fault.message}`);
    process.exit(1);
  }
  console.log(`listening on ${values.listen}`);
});
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => (server.forceShutdown(), process.exit(0)));
