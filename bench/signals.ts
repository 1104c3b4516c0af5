import { generateKeyPairSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { localTls } from '@caegis/server'
import { type Follower, follow } from '@caegis/ssf/receiver'
import { PUSH_METHOD } from '@caegis/ssf/transmitter'
import { applyTenantFile } from '../packages/server/src/directory/apply.ts'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { parseTenantFile } from '../packages/server/src/directory/tenant-file.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { createStore } from '../packages/server/src/store/store.ts'
import { type Figure, quantile } from './figure.ts'
import { clock, type Host, PEOPLE, SECRET, startHost, tenantFile } from './host.ts'
import { type Start, startOnce } from './starter.ts'

/** Streams that one application may have: a thousand of them need several. */
const PER_APP = 64
const REVOKER = { kind: 'system', reason: 'bench' } as const

/**
 * The log, and what carries it: the server is a process of its own, all receivers are in this one, TLS on loopback, so that two processors do everything. Events are
 * committed inside the server: what is timed begins when the commit has returned there.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const say: Say = (name, value, unit, rest = {}) => {
    const round = (number: number) => Number(number.toPrecision(4))
    emit({ suite: 'signals', name, value: round(value), unit, ...rest, ...(rest.ratio === undefined ? {} : { ratio: round(rest.ratio) }) })
  }
  await commits(say)
  await fanOut(say, { streams: 1, rounds: 150, rest: 10 })
  await fanOut(say, { streams: 100, rounds: 40, rest: 150 })
  await fanOut(say, { streams: 1000, rounds: 8, rest: 1000 })
  await throughput(say)
  await deadReceivers(say)
  await hydration(say)
}

type Say = (name: string, value: number, unit: string, rest?: Partial<Figure>) => void

/** Changes of the directory, each durable when it returns, against the least that a durable row can cost: rounds in turn, medians. */
async function commits(say: Say): Promise<void> {
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const quiet = { debug() {}, info() {}, warn() {}, error() {} }
  const store = await createStore({ file: join(data, 'caegis.db'), now: Date.now, log: quiet })
  const issuer = 'https://id.example/contoso/v2.0'
  const tenant = await applyTenantFile(store, createSecrets(SECRET), parseTenantFile(tenantFile(1)), () => issuer)
  const directory = createDirectory(store, tenant, issuer)
  const peer = new DatabaseSync(join(data, 'peer.db'))
  peer.exec('pragma journal_mode = wal; pragma synchronous = full; create table events (seq integer primary key, payload text not null)')
  const insert = peer.prepare('insert into events (payload) values (?)')
  const row = 'x'.repeat(500)
  const revoke = (index: number) => directory.revokeSessions(REVOKER, `user${index % PEOPLE}@contoso.test`)
  const times = { one: [] as number[], many: [] as number[], bare: [] as number[] }
  const rate = async (into: number[], count: number, work: () => unknown) => {
    const start = performance.now()
    await work()
    into.push((count / (performance.now() - start)) * 1000)
  }
  try {
    for (let round = 0; round < 5; round++) {
      await rate(times.one, 300, async () => {
        for (let index = 0; index < 300; index++) await revoke(index)
      })
      await rate(times.many, 320, () => Promise.all(Array.from({ length: 320 }, (_, index) => revoke(index))))
      await rate(times.bare, 300, () => {
        for (let index = 0; index < 300; index++) insert.run(row)
      })
    }
  } finally {
    peer.close()
    await store.close()
    rmSync(data, { recursive: true, force: true })
  }
  const [one, many, bare] = [times.one, times.many, times.bare].map((list) => quantile(list, 0.5)) as [number, number, number]
  const against = (value: number) => ({ peer: 'bare durable row', ratio: value / bare })
  say('revocations committed, one after the other', one, '/s', against(one))
  say('revocations committed, 320 at once', many, '/s', against(many))
  say('bare one-row durable commits of node:sqlite', bare, '/s')
}

interface Fleet {
  /** Resolves with the instants at which each stream had applied `more` events more than at the last call. */
  applied(more?: number): Promise<number[]>
  close(): Promise<void>
}

/** Real followers, each with a stream of its own, all in this process; ready when every poll is held. */
async function startFleet(host: Host, count: number, stream: { alg: 'RS256' | 'ES256'; guard: boolean }): Promise<Fleet> {
  const tokens = new Map<string, Promise<string>>()
  const tokenOf = (app: string) => {
    const token = tokens.get(app) ?? host.token(app)
    tokens.set(app, token)
    return token
  }
  const seen = new Array<number>(count).fill(0)
  const instants = new Array<number>(count).fill(0)
  let goal = 0
  let missing = 0
  let reached: ((instants: number[]) => void) | undefined
  const note = (index: number) => {
    seen[index] = (seen[index] as number) + 1
    if (seen[index] !== goal) return
    instants[index] = clock()
    if (--missing === 0) reached?.([...instants])
  }
  const followers: Follower[] = []
  for (let from = 0; from < count; from += 50) {
    const batch = Array.from({ length: Math.min(50, count - from) }, (_, offset) => from + offset)
    const made = batch.map((index) =>
      follow({
        issuer: host.issuer,
        token: () => tokenOf(`api-${Math.floor(index / PER_APP)}`),
        stream: { ...stream, subjects: stream.guard ? 'complex' : 'simple' },
        on: { snapshot() {}, event: () => note(index), synced() {}, outOfSync: (reason) => process.stderr.write(`out of sync: ${reason}\n`) },
      }),
    )
    followers.push(...made)
    while (made.some((one) => one.status().state !== 'following' || one.status().heardAt === undefined)) await pause(5)
  }
  await pause(300 + count)
  return {
    applied(more = 1) {
      goal += more
      missing = count
      return Promise.race([
        new Promise<number[]>((resolve) => {
          reached = resolve
        }),
        pause(120_000).then(() => {
          throw new Error(`${missing} of ${count} streams did not get the events`)
        }),
      ])
    },
    async close() {
      await Promise.all(followers.map((one) => one.close()))
    },
  }
}

/** One event to many guard streams. */
async function fanOut(say: Say, { streams, rounds, rest }: { streams: number; rounds: number; rest: number }): Promise<void> {
  const host = await startHost(Math.ceil(streams / PER_APP))
  const fleet = await startFleet(host, streams, { alg: 'ES256', guard: true })
  try {
    const last: number[] = []
    const every: number[] = []
    let cost = 0
    for (let round = -2; round < rounds; round++) {
      const before = await host.used()
      const arrivals = fleet.applied()
      const [committed = 0] = await host.revoke()
      const times = (await arrivals).map((at) => at - committed)
      // The others' acknowledgements, and the next hold of every poll.
      await pause(rest)
      if (round < 0) continue
      last.push(Math.max(...times))
      every.push(...times)
      cost += (await host.used()) - before
    }
    const [p50, p99] = [quantile(last, 0.5), quantile(last, 0.99)]
    const budget = streams === 1000 ? { budget: 'under 2 s', holds: p99 < 2000 } : {}
    const name = `committed -> applied, ${streams.toLocaleString('en')} guard stream${streams > 1 ? 's' : ''}`
    if (streams === 1) {
      say(`${name}, p50 of ${rounds}`, p50, 'ms')
      say(`${name}, p99`, p99, 'ms')
      return
    }
    say(`${name}, by the last, p50 of ${rounds}`, p50, 'ms', budget)
    say(`${name}, by the last, p99`, p99, 'ms', budget)
    say(`${name}, by any, p50`, quantile(every, 0.5), 'ms')
    say(`processor of the server an event and stream, ${streams}`, (cost / rounds / streams) * 1000, 'us')
  } finally {
    await fleet.close()
    await host.close()
  }
}

/** Many events to 64 streams: signed, sent, verified, applied and acknowledged, against the signature alone. */
async function throughput(say: Say): Promise<void> {
  for (const [alg, guard, events] of [
    ['ES256', true, 150],
    ['RS256', false, 50],
  ] as const) {
    const host = await startHost(1)
    const fleet = await startFleet(host, PER_APP, { alg, guard })
    try {
      const rates: number[] = []
      const bare: number[] = []
      for (let round = 0; round < 3; round++) {
        const arrivals = fleet.applied(events)
        const commits = await host.revoke(events)
        const end = Math.max(...(await arrivals))
        await pause(300)
        rates.push((events * PER_APP * 1000) / (end - (commits[0] as number)))
        bare.push(bareSigning(alg))
      }
      const [mine, peer] = [quantile(rates.slice(1), 0.5), quantile(bare, 0.5)]
      const what = guard ? 'guard streams' : 'streams of selected events'
      say(`SETs delivered and verified, ${alg}, 64 ${what}`, mine, '/s', { peer: 'bare signing', ratio: mine / peer })
      say(`bare node:crypto signatures, ${alg}, one processor`, peer, '/s')
    } finally {
      await fleet.close()
      await host.close()
    }
  }
}

function bareSigning(alg: 'RS256' | 'ES256'): number {
  const { privateKey } = alg === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = alg === 'ES256' ? ({ key: privateKey, dsaEncoding: 'ieee-p1363' } as const) : privateKey
  const input = Buffer.from('x'.repeat(900))
  const start = performance.now()
  let count = 0
  while (performance.now() - start < 500) {
    for (let i = 0; i < 20; i++) sign('sha256', input, key)
    count += 20
  }
  return (count / (performance.now() - start)) * 1000
}

/** What 99 push receivers notice of a hundredth that refuses every connection, or of one that takes it and says nothing. */
async function deadReceivers(say: Say): Promise<void> {
  const host = await startHost(2)
  const { cert, key } = await localTls(host.data, Date.now())
  let arrived: (() => void) | undefined
  const receiver = createHttps({ cert, key }, (request, response) => {
    request.resume().on('end', () => {
      arrived?.()
      response.writeHead(202).end()
    })
  })
  const silent = new Set<Socket>()
  const hanging = createTcp((socket) => void silent.add(socket.on('error', () => {})))
  const portOf = async (server: typeof receiver | typeof hanging) => {
    await new Promise<void>((resolve) => server.listen(0, 'localhost', () => resolve()))
    return (server.address() as AddressInfo).port
  }
  const port = await portOf(receiver)
  const hangingPort = await portOf(hanging)
  const gone = createTcp()
  const gonePort = await portOf(gone as typeof hanging)
  await new Promise((resolve) => gone.close(resolve))
  try {
    const tokens = await Promise.all(['api-0', 'api-1'].map(host.token))
    const call = async (token: string | undefined, path: string, body: object) => {
      const response = await fetch(`${host.authority}/ssf${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!response.ok) throw new Error(`${path} answered ${response.status}`)
      return (await response.json()) as { stream_id: string }
    }
    const create = (index: number, url: string) =>
      call(tokens[index % 2], '/streams', {
        delivery: { method: PUSH_METHOD, endpoint_url: url },
        caegis: { subjects: 'complex', alg: 'ES256', guard: false },
      })
    for (let index = 0; index < 99; index++) await create(index, `https://localhost:${port}/${index}`)
    const dead = {
      refusing: (await create(0, `https://localhost:${gonePort}/`)).stream_id,
      hanging: (await create(0, `https://localhost:${hangingPort}/`)).stream_id,
    }
    const set = (stream: string, status: string) => call(tokens[0], '/status', { stream_id: stream, status })
    for (const stream of Object.values(dead)) await set(stream, 'disabled')
    const samples: Record<string, number[]> = { none: [], refusing: [], hanging: [] }
    for (let round = -1; round < 6; round++) {
      for (const [kind, times] of Object.entries(samples)) {
        const stream = dead[kind as keyof typeof dead]
        if (stream) await set(stream, 'enabled')
        // A change of a stream makes the server look at all of them: that is not what is measured.
        await pause(300)
        for (let event = 0; event < 25; event++) {
          const arrivals: number[] = []
          const all = new Promise<void>((resolve) => {
            arrived = () => {
              arrivals.push(clock())
              if (arrivals.length === 99) resolve()
            }
          })
          const [committed = 0] = await host.revoke()
          await all
          await pause(20)
          if (round >= 0) times.push(...arrivals.map((at) => at - committed))
        }
        if (stream) await set(stream, 'disabled')
        await pause(100)
      }
    }
    const name = 'committed -> received, push'
    const base = quantile(samples.none as number[], 0.99)
    say(`${name}, 99 streams, p50`, quantile(samples.none as number[], 0.5), 'ms')
    say(`${name}, 99 streams, p99`, base, 'ms')
    for (const kind of ['refusing', 'hanging']) {
      const p99 = quantile(samples[kind] as number[], 0.99)
      say(`${name}, and one that is ${kind}, p99`, p99, 'ms', {
        ...{ peer: 'without it', ratio: p99 / base },
        ...{ budget: 'under 1.2 x', holds: p99 < 1.2 * base },
      })
    }
  } finally {
    receiver.closeAllConnections()
    receiver.close()
    for (const socket of silent) socket.destroy()
    hanging.close()
    await host.close()
  }
}

const CUTOFFS = 1_000_000

/** A guard that starts when a million cutoffs are live: token, stream, snapshot and its segments over TLS, seal, table. */
async function hydration(say: Say): Promise<void> {
  const host = await startHost(1, async (data) => {
    const db = new DatabaseSync(join(data, 'caegis.db'))
    const now = Math.floor(Date.now() / 1000)
    // In the order of the key: anything else takes a minute.
    db.exec(`pragma cache_size = -500000; pragma synchronous = off; with recursive n(i) as (select 1 union all select i + 1 from n where i < ${CUTOFFS})
      insert into cutoffs (tenant, kind, id, t, depth, until)
      select (select id from tenants), 'user', printf('%08x-5f1d-4c2e-9b7a-3d86e0c41a55', i * 4000), ${now} - i % 3600, 'sign-in', ${now} + 90000 from n`)
    db.close()
  })
  try {
    // Nobody has asked before: what is live is cut into segments first.
    say('guard made -> ready, 1 M cutoffs, the first that asks', (await startOnce(host)).time, 'ms')
    const served = await host.used()
    const starts = [await startOnce(host), await startOnce(host), await startOnce(host)]
    const middle = (of: (start: Start) => number) => quantile(starts.map(of), 0.5)
    const time = middle((start) => start.time)
    say('guard made -> ready, 1 M cutoffs from the snapshot', time, 'ms', { budget: 'under 2 s', holds: time < 2000 })
    say('processor of the server for one such snapshot', ((await host.used()) - served) / starts.length, 'ms')
    say('memory that the guard keeps, 1 M cutoffs', middle((start) => start.kept) / 1e6, 'MB')
    say('memory of its process at the peak, beyond the start', middle((start) => start.peak) / 1e6, 'MB')
    say('memory of the server after it, resident', (await host.memory()) / 1e6, 'MB')
  } finally {
    await host.close()
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
