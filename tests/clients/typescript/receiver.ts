// A receiver of StockAlert's webhooks in TypeScript: who sent it, whose it is, whether it came before, and a quick answer.
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Webhook } from 'standardwebhooks';

const bodyMax = 64 * 1024; // What comes has at most 20 kB.
const toleranceSeconds = 300;
const idsKept = 10_000;
// Either is enough: the one is a secret that both know, the other only what a signature is verified by.
const secret = process.env.STOCKALERT_WEBHOOK_SECRET;
const publicKey = process.env.STOCKALERT_WEBHOOK_PUBLIC_KEY;
const seen = new Set<string>(); // In a program of yours: a table, written with what you make of the message.

type Headers = Record<string, string>;

/** Verifies by the public key. While the keys rotate, there are signatures by both: one that holds is enough. */
function verifyV1a(body: Buffer, headers: Headers, whpk: string) {
  const x = Buffer.from(whpk.replace(/^whpk_/, ''), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const sent = Number(headers['webhook-timestamp']);
  if (!(Math.abs(Date.now() / 1000 - sent) <= toleranceSeconds)) throw new Error('the time is not now');
  const signed = Buffer.concat([Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), body]);
  for (const signature of (headers['webhook-signature'] ?? '').split(' ')) {
    if (!signature.startsWith('v1a,')) continue;
    if (verifySignature(null, signed, key, Buffer.from(signature.slice('v1a,'.length), 'base64'))) return;
  }
  throw new Error('no signature by the key');
}

/** Throws where the body is not from whom it should be, or is old. */
function verify(body: Buffer, headers: Headers) {
  if (!secret && !publicKey) throw new Error('nothing to verify by');
  if (secret) new Webhook(secret).verify(body, headers, { jsonParse: false });
  if (publicKey) verifyV1a(body, headers, publicKey);
}

/** At least once is how it comes: what came before has its id. */
function take(id: string, type: string) {
  if (seen.has(id)) {
    console.log(`repeated ${id}`);
    return;
  }
  seen.add(id);
  for (const oldest of seen) {
    if (seen.size <= idsKept) break;
    seen.delete(oldest);
  }
  console.log(`received ${type} ${id}`);
}

/** The body as it came, for a signature is over bytes; undefined where it is too large. */
async function read(request: IncomingMessage) {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > bodyMax) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function receive(request: IncomingMessage, response: ServerResponse) {
  const body = await read(request);
  if (!body) {
    response.writeHead(413).end();
    return;
  }
  const headers = request.headers as Headers;
  try {
    verify(body, headers);
  } catch (error) {
    console.log(`refused: ${(error as Error).message}`);
    response.writeHead(401).end();
    return;
  }
  const message = JSON.parse(body.toString());
  if (message.type === 'destination.verification') {
    console.log('verified');
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ challenge: message.data.challenge }));
    return;
  }
  take(headers['webhook-id'], message.type);
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  receive(request, response).catch(() => response.destroy());
});
server.requestTimeout = 10_000;
server.listen(Number(process.env.STOCKALERT_WEBHOOK_PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on ${(server.address() as AddressInfo).port}`);
});
