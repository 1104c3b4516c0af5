import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGuard } from '@caegis/guard'
import { type Cluster, LANES, SECRET, startCluster } from './cluster.ts'
import { type Figure, quantile } from './figure.ts'
import { startPolls } from './polls.ts'

/** Milliseconds of each measurement. */
const SPELL = 4000
const POLLS = 10_000

/**
 * Server processes over one PostgreSQL that waits for its disk; database, servers, clients and a guard share this machine, so that with two processors a second server
 * takes from the first what it needs itself: what several processes gain shows where there are more.
 */
export async function run(emit: (figure: Figure) => void): Promise<void> {
  const say = (name: string, value: number, unit: string) => emit({ suite: 'scale', name, value: Number(value.toPrecision(4)), unit })
  for (const count of [1, 2, 4]) {
    const cluster = await startCluster(count)
    try {
      await throughput(cluster, (name, value, unit) => say(`${name}, ${count} server${count > 1 ? 's' : ''}`, value, unit))
      if (count === 2) await storm(cluster, say)
    } finally {
      await cluster.close()
    }
  }
  const cluster = await startCluster(1)
  try {
    await longPolls(cluster, say)
  } finally {
    await cluster.close()
  }
}

type Say = (name: string, value: number, unit: string) => void

async function spell(milliseconds: number, lanes: number, work: (lane: number) => Promise<void>): Promise<number> {
  const start = performance.now()
  let done = 0
  const lane = async (index: number) => {
    while (performance.now() - start < milliseconds) {
      await work(index)
      done++
    }
  }
  await Promise.all(Array.from({ length: lanes }, (_, index) => lane(index)))
  return done / ((performance.now() - start) / 1000)
}

async function throughput(cluster: Cluster, say: Say): Promise<void> {
  const lineages: string[] = []
  let access = ''
  for (let lane = 0; lane < LANES; lane++) {
    const tokens = await cluster.signIn(lane)
    lineages.push(String(tokens.refresh_token))
    access = String(tokens.access_token)
  }
  const refresh = async (lane: number) => {
    const { status, body } = await cluster.refresh(lineages[lane] as string)
    if (status !== 200) throw new Error(`a refresh was answered with ${status} ${body.error}`)
    lineages[lane] = String(body.refresh_token)
  }
  const measured = async (name: string, lanes: number, work: (lane: number) => Promise<void>) => {
    const before = cluster.busy()
    const rate = await spell(SPELL, lanes, work)
    const after = cluster.busy()
    const each = (key: keyof typeof before) => (after[key] - before[key]) / ((rate * SPELL) / 1000)
    say(name, rate, '/s')
    say(`${name}: a processor of the servers for each`, each('servers'), 'ms')
    say(`${name}: a processor of the database for each`, each('database'), 'ms')
  }
  await spell(1500, LANES, refresh)
  await measured('refreshes, each at another server than the last', LANES, refresh)
  await measured('client credentials', LANES, async () => void (await cluster.daemon('nightly', 'api://files/.default')))

  const guard = createGuard({ issuer: cluster.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
  try {
    await guard.ready()
    const request = { headers: { authorization: `Bearer ${access}` } }
    let checks = 0
    let over = false
    const checking = (async () => {
      while (!over) {
        for (let i = 0; i < 1000; i++) if (!(await guard.check(request)).allowed) throw new Error('a good token was refused')
        checks += 1000
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const start = performance.now()
    const rate = await spell(SPELL, LANES, refresh)
    over = true
    await checking
    say('checks of a guard meanwhile', checks / ((performance.now() - start) / 1000), '/s')
    say('refreshes beside them', rate, '/s')

    // Nobody who has a token is revoked: what the guard says of it stays the same.
    let last = ''
    await measured('revocations committed', 8, async (lane) => {
      const { status, body } = await cluster.graph('POST', `/users/user${lane}@contoso.test/revokeSignInSessions`)
      if (status !== 200) throw new Error(`the admin API answered ${status} ${body.slice(0, 200)}`)
      last = body
    })
    const end = performance.now()
    const [{ seq }] = (await cluster.sql('select max(seq) as seq from events')) as [{ seq: string }]
    while ((guard.status().head?.seq ?? 0) < Number(seq)) await sleep(1)
    say('until a guard had applied the last of them', performance.now() - end, 'ms')
    if (last === '') throw new Error('nothing was revoked')
  } finally {
    await guard.close()
  }
}

/** A tenant is stopped while everybody asks; then let go, and everybody signs in again. */
async function storm(cluster: Cluster, say: Say): Promise<void> {
  const lineages: string[] = []
  for (let lane = 0; lane < LANES; lane++) lineages.push(String((await cluster.signIn(lane)).refresh_token))
  const guard = createGuard({ issuer: cluster.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
  await guard.ready()
  // The admin API's own token dies with the stop: the words of the host lift it.
  const stopped = await cluster.graph('POST', '/caegis/organization/stop', { confirmation: 'contoso' })
  if (stopped.status >= 300) throw new Error(`the stop was answered with ${stopped.status} ${stopped.body}`)
  const ages: number[] = []
  const statuses: Record<number, number> = {}
  const rate = await spell(SPELL, LANES * 4, async (lane) => {
    const { status } = await cluster.refresh(lineages[lane % LANES] as string)
    statuses[status] = (statuses[status] ?? 0) + 1
    const { head } = guard.status()
    if (head) ages.push(Date.now() - head.asOf * 1000)
  })
  say('stopped tenant: refusals', rate, '/s')
  say(
    'stopped tenant: answers with 5xx',
    Object.entries(statuses).reduce((sum, [status, count]) => sum + (Number(status) >= 500 ? count : 0), 0),
    '',
  )
  say('stopped tenant: age of what the guard knows, p99', quantile(ages, 0.99), 'ms')
  await cluster.sql('update tenants set stopped_at = null, version = version + 1')
  const start = performance.now()
  const waits: number[] = []
  await Promise.all(
    Array.from({ length: LANES }, async (_, lane) => {
      for (;;) {
        try {
          await cluster.signIn(lane)
          break
        } catch {
          await sleep(500)
        }
      }
      waits.push(performance.now() - start)
    }),
  )
  say(`let go: until ${LANES} people at once are signed in again`, Math.max(...waits), 'ms')
  await guard.close()
}

/** Guards by the thousand at one process: what each costs in memory, and how long until all of them have heard of a revocation. */
async function longPolls(cluster: Cluster, say: Say): Promise<void> {
  const guard = createGuard({ issuer: cluster.issuer, audience: 'api://files', clientId: 'files-api', clientSecret: SECRET })
  await guard.ready()
  // As many streams as the first, which a guard has made.
  await cluster.sql(`insert into streams (tenant, id, receiver, config, progress) select tenant, id || '-' || n, receiver, replace(config, id, id || '-' || n), progress
    from streams, generate_series(1, ${POLLS}) as n where receiver = 'files-api'`)
  await guard.close()
  const rows = await cluster.sql(
    `select s.id, t.epoch, t.seq from streams s join tenants t on t.id = s.tenant where s.id like '%-%' order by s.id desc limit ${POLLS}`,
  )
  const [{ epoch, seq }] = rows as [{ epoch: string; seq: string }]
  const token = await cluster.daemon('files-api', 'ssf.read ssf.manage')
  const [server] = cluster.servers as [Cluster['servers'][number]]
  const before = server.memory()
  const began = performance.now()
  const polls = await startPolls({
    ...{ port: server.port, host: new URL(cluster.origin).host, token, ca: readFileSync(join(cluster.data, 'tls', 'ca.pem'), 'utf8') },
    ...{ paths: rows.map(({ id }) => `/contoso/ssf/poll/${id}`), applied: { epoch, seq: Number(seq) } },
  })
  say('long polls: until all had connected', (performance.now() - began) / 1000, 's')
  const samples: number[] = []
  const start = await polls.ask()
  const idle = cluster.busy()
  for (let i = 0; i < 20; i++) {
    await sleep(1000)
    samples.push((await polls.ask()).open)
  }
  const later = await polls.ask()
  say('long polls: open at a time, median', quantile(samples, 0.5), '')
  const busy = cluster.busy()
  const count = later.answers - start.answers
  say('long polls: answers', count / 20, '/s')
  say('long polls: a processor of the server for each answer', (busy.servers - idle.servers) / count, 'ms')
  say('long polls: a processor of the database for each answer', (busy.database - idle.database) / count, 'ms')
  say(
    'long polls: refused',
    Object.values(later.refused).reduce((sum, one) => sum + one, 0),
    '',
  )
  say('long polls: memory of the server for each', (server.memory() - before) / POLLS / 1024, 'KiB')
  const sent = Number(process.hrtime.bigint()) / 1e6
  await cluster.graph('POST', '/users/user0@contoso.test/revokeSignInSessions')
  let heard: number[] = []
  for (let tries = 0; tries < 60 && heard.length < POLLS; tries++) {
    await sleep(500)
    heard = (await polls.ask()).heard
  }
  say('long polls: that heard of a revocation', heard.length, '')
  say('long polls: when half of them had', quantile(heard, 0.5) - sent, 'ms')
  say('long polls: when the last of them had', Math.max(...heard) - sent, 'ms')
  polls.close()
}

if (import.meta.main) await run((line) => console.log(JSON.stringify(line)))
