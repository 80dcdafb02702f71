#!/usr/bin/env node
// A client of Estafette in Node 18 or newer, without packages.
//
//   MAIL_URL=https://mail.example  MAIL_KEY=est_…    a key with the scopes send, read and admin
//   MAIL_FROM='Chouette <news@chouette.example>'          at a domain that the key's tenant may send from
//
//   client.mjs register URL         names an endpoint that is told what happens; prints its id and its secret
//   client.mjs listen PORT FILE     receives at that port, and appends each event to FILE (WEBHOOK_SECRET=whsec_…)
//   client.mjs send FILE            sends to the recipients in FILE, a line of JSON each; prints the job
//   client.mjs not-opened JOB       prints who has the mail and did not open it
//   client.mjs again JOB            sends another mail to these; prints the job

import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const TOLERANCE_S = 300; // an older request is somebody's recording
const MOST_TRIES = 8;

// What may be repeated is, under one Idempotency-Key, so that it is done once.
async function asked(method, path, body) {
  const headers = { Authorization: `Bearer ${process.env.MAIL_KEY}`, 'Idempotency-Key': randomUUID() };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  for (let attempt = 1; ; attempt++) {
    let response;
    try {
      response = await fetch(process.env.MAIL_URL + path, { method, headers, body: body && JSON.stringify(body) });
    } catch (fault) {
      if (attempt === MOST_TRIES) throw fault;
    }
    if (response?.ok) return response;
    if (response && (![429, 503].includes(response.status) || attempt === MOST_TRIES)) {
      throw new Error(`${response.status}: ${await response.text()}`);
    }
    await sleep(1000 * Number(response?.headers.get('retry-after') ?? 2 ** attempt));
  }
}

async function register(url) {
  const types = ['message.delivered', 'message.bounced', 'message.opened', 'message.clicked'];
  const made = await (await asked('POST', '/v1/webhooks', { url, types, batch: 100 })).json();
  console.log(made.id, made.secret);
}

async function send(file) {
  const recipients = readFileSync(file, 'utf8').split('\n').filter((line) => line.trim()).map((line) => JSON.parse(line));
  const job = {
    from: process.env.MAIL_FROM,
    subject: 'Our programme, {{ name }}',
    html:
      '<p>Hello {{ name }}, <a href="https://chouette.example/programme">here it is</a>.</p>' +
      '<p><a href="{{ unsubscribe_url }}">Leave</a></p>',
    recipients,
  };
  console.log((await (await asked('POST', '/v1/jobs', job)).json()).id);
}

async function notOpened(job) {
  const response = await asked('GET', `/v1/jobs/${encodeURIComponent(job)}/messages?state=not_opened`);
  // An answer that breaks off throws here: what was read until then is not the whole set.
  for await (const line of createInterface({ input: Readable.fromWeb(response.body), crlfDelay: Infinity })) {
    console.log(JSON.parse(line).email);
  }
}

async function again(job) {
  const followUp = {
    from: process.env.MAIL_FROM,
    subject: 'Our programme once more',
    text: 'Did you miss it? https://chouette.example/programme\n\nTo leave: {{ unsubscribe_url }}\n',
    recipients_from: { job, state: 'not_opened' },
  };
  console.log((await (await asked('POST', '/v1/jobs', followUp)).json()).id);
}

// After Standard Webhooks 1.0; its library `standardwebhooks` does the same.
function isGenuine(secret, headers, body) {
  const at = Number(headers['webhook-timestamp']);
  if (!(Math.abs(Date.now() / 1000 - at) <= TOLERANCE_S)) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const digest = createHmac('sha256', key)
    .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`)
    .update(body)
    .digest('base64');
  const expected = Buffer.from(`v1,${digest}`);
  // While a secret is changed there are two signatures.
  return (headers['webhook-signature'] ?? '').split(' ').some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
}

function listen(port, file) {
  const secret = process.env.WEBHOOK_SECRET;
  const known = new Set();
  createServer((request, response) => {
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts);
      if (!isGenuine(secret, request.headers, body)) return response.writeHead(401).end();
      const number = request.headers['webhook-id'];
      if (!known.has(number)) { // it comes twice where our answer was lost
        const told = JSON.parse(body);
        const events = told.type === 'events' ? told.data : [told];
        appendFileSync(file, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
        known.add(number);
      }
      response.writeHead(204).end();
    });
  }).listen(Number(port), '127.0.0.1');
}

const commands = { register, listen, send, 'not-opened': notOpened, again };
const [command, ...given] = process.argv.slice(2);
try {
  if (!commands[command]) throw new Error(`one of ${Object.keys(commands).join(', ')}`);
  await commands[command](...given);
} catch (fault) {
  console.error(fault.message);
  process.exitCode = 1;
}
