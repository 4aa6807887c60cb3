// StockAlert from TypeScript: a user, an alert, and its notifications without loss or repeat, over a stream that breaks.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Channel, ChannelCredentials, ClientError, createChannel, createClientFactory, Metadata, Status } from 'nice-grpc';
import { BadRequest, ErrorInfo, errorDetailsClientMiddleware, RichClientError } from 'nice-grpc-error-details';

import { Alert_TriggerPolicy, AlertServiceDefinition, PriceTarget_Comparison } from './gen/stockalert/alert/v1/alert.js';
import {
  type Notification,
  type NotificationServiceClient,
  NotificationServiceDefinition,
  type WatchNotificationsResponse,
} from './gen/stockalert/notification/v1/notification.js';
import { Session } from './gen/stockalert/quote/v1/quote.js';
import { TickerServiceDefinition } from './gen/stockalert/ticker/v1/ticker.js';
import { UserServiceDefinition } from './gen/stockalert/user/v1/user.js';

// gRPC itself calls again what is UNAVAILABLE, or CANCELLED by a server that goes; a request id makes that safe where something is created. Every call has a deadline.
const retryPolicy = {
  maxAttempts: 5,
  initialBackoff: '1s',
  maxBackoff: '10s',
  backoffMultiplier: 3,
  retryableStatusCodes: ['UNAVAILABLE', 'CANCELLED'],
};
const streamSeconds = process.env.STOCKALERT_STREAM_SECONDS ?? '60';
const watchMs = 300_000; // One stream after another.
const pauseMs = 500;
const watchMethod = { service: NotificationServiceDefinition.fullName, method: NotificationServiceDefinition.methods.watchNotifications.name };
const serviceConfig = {
  methodConfig: [
    { name: [{}], timeout: '30s', retryPolicy },
    { name: [watchMethod], timeout: `${streamSeconds}s`, retryPolicy },
  ],
};
const symbol = 'AAPL';

const clients = createClientFactory().use(errorDetailsClientMiddleware);
const channels: Channel[] = [];

function env(name: string): string {
  const value = process.env[name];
  assert(value, `${name} is not set`);
  return value;
}

/** A channel to the service, over TLS where an authority's file is named. */
function connect(service: string): Channel {
  const caFile = process.env.STOCKALERT_CA_FILE;
  const credentials = caFile ? ChannelCredentials.createSsl(readFileSync(caFile)) : ChannelCredentials.createInsecure();
  const channel = createChannel(env(`STOCKALERT_${service}_ADDRESS`), credentials, {
    'grpc.service_config': JSON.stringify(serviceConfig),
  });
  channels.push(channel);
  return channel;
}

const bearer = (key: string) => ({ '*': { metadata: Metadata({ authorization: `Bearer ${key}` }) } });

/** What an error says to programs: its reason, and the fields at fault. */
function reasonAndFields(error: RichClientError) {
  let reason = '';
  const fields: Record<string, string> = {};
  for (const detail of error.extra) {
    if (detail.$type === ErrorInfo.$type) {
      reason = detail.reason;
    } else if (detail.$type === BadRequest.$type) {
      for (const { field, description } of detail.fieldViolations) fields[field] = description;
    }
  }
  return { reason, fields };
}

// CANCELLED not by us: by a server that goes. What we cancel ends in an AbortError.
const resumable = new Set([Status.UNAVAILABLE, Status.CANCELLED, Status.DEADLINE_EXCEEDED]);

/** Replies. Each stream has a deadline of its own; where one ends, the next goes on from the last cursor. Leaving the loop over them ends it. */
async function* watch(notifier: NotificationServiceClient, cursor = ''): AsyncGenerator<WatchNotificationsResponse, never> {
  const signal = AbortSignal.timeout(watchMs);
  for (;;) {
    try {
      for await (const reply of notifier.watchNotifications({ parent: 'users/me', cursor }, { signal })) {
        cursor = reply.cursor || cursor; // A sign of life need not bring one.
        yield reply;
      }
    } catch (error) {
      if (!(error instanceof ClientError && resumable.has(error.code))) throw error;
      console.log(`the stream ended: ${Status[error.code]}; going on from its cursor`);
    }
    await sleep(pauseMs, undefined, { signal });
  }
}

async function* notificationsIn(replies: AsyncIterable<WatchNotificationsResponse>) {
  for await (const reply of replies) yield* reply.notifications;
}

async function next(notifications: AsyncIterator<Notification>): Promise<Notification> {
  const { value, done } = await notifications.next();
  assert(!done, 'the stream has ended');
  return value;
}

async function run() {
  const userChannel = connect('USER');
  const registered = await clients
    .create(UserServiceDefinition, userChannel)
    .registerUser({ user: { email: `${randomUUID()}@example.com`, displayName: 'TypeScript' } });
  console.log('registered', registered.user?.name);

  const mine = bearer(registered.secret);
  const users = clients.create(UserServiceDefinition, userChannel, mine);
  const alerts = clients.create(AlertServiceDefinition, connect('ALERT'), mine);
  const notifier = clients.create(NotificationServiceDefinition, connect('NOTIFIER'), mine);
  const tickers = clients.create(TickerServiceDefinition, connect('TICKER'), bearer(env('STOCKALERT_ADMIN_KEY')));
  await users.followTicker({ parent: 'users/me', symbol });

  const createAlert = (price: string, requestId = '') =>
    alerts.createAlert({
      parent: 'users/me',
      requestId,
      alert: {
        symbol,
        condition: { priceTarget: { comparison: PriceTarget_Comparison.COMPARISON_AT_OR_ABOVE, price } },
        triggerPolicy: Alert_TriggerPolicy.TRIGGER_POLICY_REPEAT,
      },
    });
  const publish = (...prices: string[]) =>
    tickers.publishQuotes({
      quotes: prices.map((price) => ({ symbol, price, eventTime: new Date(), session: Session.SESSION_REGULAR })),
    });

  // With a request id, a call that is made twice, by us or by a retry, makes one alert.
  const requestId = randomUUID();
  const alert = await createAlert('200', requestId);
  assert.equal((await createAlert('200', requestId)).name, alert.name);
  console.log('created', alert.name);

  await assert.rejects(createAlert('-1'), (error) => {
    assert(error instanceof RichClientError && error.code === Status.INVALID_ARGUMENT, String(error));
    const { reason, fields } = reasonAndFields(error);
    assert(reason && Object.keys(fields).length > 0, String(error));
    console.log('refused', reason, fields);
    return true;
  });

  const replies = watch(notifier);
  await replies.next(); // The first reply comes at once and says where the stream begins.
  console.log('watching');
  await publish('199', '201');
  const watched = notificationsIn(replies);
  const first = await next(watched);
  await watched.return();
  // One of the kind THROTTLED stands for many triggers, and has no price.
  console.log('notified', first.summary, ...(first.price ? ['at', first.price] : []));

  await publish('199', '202'); // Nobody watches it come.
  while ((await notifier.listNotifications({ parent: 'users/me' })).notifications.length < 2) await sleep(100);
  const resumed = notificationsIn(watch(notifier, first.cursor));
  const missed = await next(resumed);
  await publish('199', '203');
  const last = await next(resumed);
  await resumed.return();
  assert.deepEqual([first.price, missed.price, last.price], ['201', '202', '203'], 'lost or repeated');
  console.log('resumed', [first.price, missed.price, last.price]);

  await users.deleteUser({ name: 'users/me' });
}

try {
  await run();
} finally {
  for (const channel of channels) channel.close();
}
