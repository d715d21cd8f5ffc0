// Opens a position, then follows the drifts of the desk for ever. Needs: npm install, in this folder.
//
//     node follow_drifts.mjs [POSITION_ADDRESS [RECONCILER_ADDRESS]]
//
// Whatever ends the stream, it goes on after the last revision that was seen: nothing is lost, nothing comes twice.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const [position = '127.0.0.1:50051', reconciler = '127.0.0.1:50052'] = process.argv.slice(2);

// The contracts as one descriptor set. Amounts are decimal strings, 64-bit integers strings: no number loses a digit.
const contracts = readFileSync(new URL('../../protos/gen/trueup/plain.binpb', import.meta.url));
const { trueup } = grpc.loadPackageDefinition(
  loader.loadFileDescriptorSetFromBuffer(contracts, { keepCase: true, longs: String, enums: String, defaults: true }),
);
const plaintext = grpc.credentials.createInsecure();
const keepalive = { 'grpc.keepalive_time_ms': 15000, 'grpc.keepalive_timeout_ms': 5000 };
const positions = new trueup.position.v1.PositionService(position, plaintext);
const drifts = new trueup.reconciler.v1.ReconcilerService(reconciler, plaintext, keepalive);
const call = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 10_000 }, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
const show = (drift) =>
  console.log(`drift ${drift.revision} ${drift.status.replace('DRIFT_STATUS_', '')} ${drift.symbol}: ${drift.summary}`);

// A request id makes it safe to repeat: it happens once, and every repetition gets the first answer.
const opened = await call(positions, 'OpenPosition', {
  asset: 'AVAX/USD', size: '40', entry_price: '31.5', leverage: '3', request_id: 'example-node',
});
console.log('opened', opened.position.symbol, opened.position.size, 'at', opened.position.entry_price);

let stopping = false;
let stream;
process.on('SIGINT', () => {
  stopping = true;
  stream?.cancel();
});

let revision = '0';
for (let failures = 0; !stopping; ) {
  stream = drifts.StreamDriftEvents(revision === '0' ? { include_open: true } : { after_revision: revision });
  try {
    for await (const message of stream) {
      failures = 0;
      message.events.forEach((event) => show(event.drift));
      // 0 while a snapshot is under way: it can only be resumed from once it is complete.
      if (message.revision !== '0') revision = message.revision;
    }
  } catch (error) {
    if (stopping) break;
    if (error.code === grpc.status.OUT_OF_RANGE) {
      // Away for longer than the history is kept: list what is open, go on from there.
      const listed = await call(drifts, 'ListDrifts', {}).catch(() => null);
      listed?.drifts.forEach(show);
      revision = listed?.revision ?? revision;
      if (listed) continue;
    }
    const mistakes = ['INVALID_ARGUMENT', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED', 'FAILED_PRECONDITION'];
    if (mistakes.includes(grpc.status[error.code])) throw error; // repeating would not mend it
    console.error(`${error.details}: again after revision ${revision}`);
  } finally {
    stream.cancel(); // an abandoned stream would stay open on the server
  }
  await sleep(Math.min(10_000, 100 * 2 ** Math.min(failures++, 10)) * (0.5 + Math.random() / 2));
}
positions.close();
drifts.close();
