import { EVENT } from '@caegis/protocol'
import fc from 'fast-check'
import { isGivenUp } from '../src/transmitter/index.ts'
import { commit, type Expectation, enter, expectParty, idOf, type Model, restore } from './delivery-model.ts'
import type { Fate, Kind, Party, World } from './delivery-world.ts'
import { ISSUER, revoke } from './loop.ts'

export interface Real {
  world: World
}
type Command = fc.AsyncCommand<Model, Real>

const MAX_PARTIES = 6
/** The transmitter may not speak about this one's subject: its events end as dead letters everywhere. */
const FOREIGN = 'somebody else’s'

const party = fc.nat(MAX_PARTIES - 1)

/** A command that settles the world behind it and compares what happened meanwhile. */
function command(name: string, run: (model: Model, world: World) => Promise<unknown> | unknown): Command {
  return {
    check: () => true,
    async run(model, { world }) {
      await run(model, world)
      await world.settle()
      follow(model, world)
      if (model.violations.length > 0) throw new Error(model.violations.join('\n'))
    },
    toString: () => name,
  }
}

const pick = (world: World, index: number): Party => world.parties[index % world.parties.length] as Party

/** A status changes, and with it what the transmitter would still send. */
export function transit(model: Model, world: World, expected: Expectation, status: Expectation['status'], by: Parameters<typeof enter>[2]): void {
  enter(expected, status, by)
  world.forget((party, jti) => party === expected.party && (status === 'disabled' || !model.facts.has(idOf(jti))))
}

/** Who is paused because deliveries failed for too long, and goes on when one does not; and is told so. */
export function follow(model: Model, world: World): void {
  for (const expected of model.expectations.values()) {
    const record = world.stream(expected.party)
    if (!record) continue
    if (record.status === 'paused' && expected.status === 'enabled' && record.statusReason?.startsWith('delivery fails'))
      transit(model, world, expected, 'paused', 'transmitter')
    if (record.status === 'enabled' && expected.givenUp) transit(model, world, expected, 'enabled', 'transmitter')
    if (record.status !== expected.status) model.violations.push(`${expected.party.name}: ${record.status} instead of ${expected.status}`)
  }
}

interface NewEvent {
  user: string
  type: string
  session: boolean
  ago: number
}

/** @param first committed in the same moment: what it sets off is under way, by that many turns of the event loop's innermost queue */
function setStatus(index: number, status: Expectation['status'], by: 'host' | Fate, first?: { events: NewEvent[]; turns: number }): Command {
  const behind = first ? `, ${first.turns} turns after ${named(first.events)}` : ''
  return command(`status(${index}, ${status}, ${by}${behind})`, async (model, world) => {
    const one = pick(world, index)
    const stream = world.stream(one)
    if (!stream) return
    const expected = model.expectations.get(one)
    const attempt = async (): Promise<'done' | 'refused' | 'unknown'> => {
      try {
        if (by === 'host') await world.transmitter.setStatus(stream.id, status)
        else {
          one.fates.unshift(by)
          const { status: code } = await world.call(one, 'status', { stream_id: stream.id, status })
          return code === 200 ? 'done' : code === 403 ? 'refused' : 'unknown'
        }
        return 'done'
      } catch {
        return 'unknown'
      }
    }
    if (first) commitNow(model, world, first.events)
    for (let i = 0; i < (first?.turns ?? 0); i++) await undefined
    await world.change(async () => {
      const result = await attempt()
      if (!expected) return
      if (by !== 'host' && result !== 'unknown' && expected.fixed !== (result === 'refused')) {
        model.violations.push(`${one.name}: ${result}, although ${expected.fixed ? 'its host had' : 'nobody has'} stopped it`)
      }
      // Where the call was lost, or the process died in it, only the store knows.
      const record = world.stream(one)
      const fixed = by === 'host' ? status !== 'enabled' : expected.fixed
      // Paused by itself, it was not paused by this.
      const happened = record?.status === status && (record.statusFixed === true) === fixed && (by === 'host' || !fixed) && !isGivenUp(record)
      if (result === 'done' || (result === 'unknown' && happened)) transit(model, world, expected, status, by === 'host' ? 'host' : 'receiver')
    })
  })
}

const event = fc.record({
  user: fc.constantFrom('u0', 'u1', 'u2', FOREIGN),
  type: fc.constantFrom(EVENT.sessionRevoked, EVENT.sessionRevoked, EVENT.accountDisabled, EVENT.accountEnabled, EVENT.credentialChange),
  session: fc.constantFrom(false, false, false, true),
  ago: fc.nat(50),
})

const named = (events: NewEvent[]) =>
  events.map(({ user, type, session }) => `${type.slice(type.lastIndexOf('/') + 1)} ${user}${session ? ' session' : ''}`).join(', ')

function commitNow(model: Model, world: World, events: NewEvent[]): void {
  const rows = world.store.commit(
    ...events.map(({ user, type, session, ago }) => {
      const made = revoke(user, { type, t: Math.floor(world.time.now() / 1000) - ago, ...(session && { session: `s-${user}` }) })
      if (user === FOREIGN && made.subject.simple) {
        const subject = { format: 'iss_sub' as const, iss: `${ISSUER}/other`, sub: user }
        made.subject = { simple: subject, complex: { format: 'complex', user: subject } }
      }
      return made
    }),
  )
  commit(model, rows, (one) => world.stream(one) !== undefined)
}

const commitAll = (events: NewEvent[]) => command(`commit(${named(events)})`, (model, world) => commitNow(model, world, events))

const fates = (...some: Fate[]) => fc.array(fc.constantFrom<Fate>(...some), { minLength: 1, maxLength: 4 })
const disturb = (name: string, some: fc.Arbitrary<Fate[]>) =>
  fc
    .tuple(party, some)
    .map(([index, list]) => command(`${name}(${index}, ${list.join(', ')})`, (_, world) => void pick(world, index).fates.push(...list)))

export const COMMANDS: fc.Arbitrary<Command>[] = [
  fc.constantFrom<Kind>('push', 'poll', 'guard').map((kind) =>
    command(`create(${kind})`, (model, world) => {
      if (world.parties.length < MAX_PARTIES) expectParty(model, world.add(kind))
    }),
  ),
  fc.array(event, { minLength: 1, maxLength: 4 }).map(commitAll),
  fc.array(event, { minLength: 1, maxLength: 4 }).map(commitAll),
  fc.array(event, { minLength: 1, maxLength: 4 }).map(commitAll),
  ...(['paused', 'enabled', 'disabled'] as const).map((status) =>
    fc.tuple(party, fc.constantFrom<'host' | Fate>('host', 'ok', 'lost request', 'lost answer')).map(([index, by]) => setStatus(index, status, by)),
  ),
  fc
    .tuple(party, fc.constantFrom('paused', 'disabled'), fc.array(event, { minLength: 1, maxLength: 3 }), fc.nat(40))
    .map(([index, status, events, turns]) => setStatus(index, status as 'paused', 'host', { events, turns })),
  disturb('drop', fates('lost request', 'lost answer')),
  disturb('delay', fates('ok', 'late request', 'late answer')),
  disturb('duplicate', fates('duplicate', 'ok')),
  disturb('refuse', fates('503', '400', '400 key', 'ok')),
  fc
    .tuple(party, fc.boolean())
    .map(([index, silent]) => command(`cut(${index}${silent ? ', silently' : ''})`, (_, world) => world.cut(pick(world, index), silent))),
  fc.nat(9).map((which) => command(`release(${which})`, (_, world) => void world.release(which))),
  fc.nat(12).map((calls) => command(`crash(transmitter, after ${calls} calls)`, (_, world) => world.crashServer(calls))),
  fc
    .tuple(party, fc.nat(4))
    .map(([index, calls]) => command(`crash(${index}, after ${calls} calls)`, (_, world) => world.crash(pick(world, index), calls))),
  fc.tuple(party, fc.array(event, { minLength: 1, maxLength: 2 })).map(([index, events]) =>
    command(`down(${index}, for a minute, while ${named(events)})`, async (model, world) => {
      const one = pick(world, index)
      one.fates = Array.from({ length: 100 }, () => '503')
      commitNow(model, world, events)
      for (let i = 0; i < 6; i++) {
        await world.settle()
        await world.time.advance(10_000)
      }
      one.fates = []
    }),
  ),
  fc.tuple(party, fc.integer({ min: 1, max: 3 })).map(([index, times]) =>
    command(`failing(${index}, ${times} times)`, (_, world) => {
      pick(world, index).failing = times
    }),
  ),
  party.map((index) =>
    command(`redeliver(${index})`, async (model, world) => {
      const one = pick(world, index)
      const stream = world.stream(one)
      const expected = model.expectations.get(one)
      if (!stream || !expected) return
      for (const { id } of await world.store.listDeadLetters(stream.id)) expected.again.add(id)
      const { queued } = await world.transmitter.redeliver(stream.id).catch(() => ({ queued: [] }))
      for (const id of queued) (expected.status === 'disabled' || expected.free.has(id) ? expected.free : expected.due).add(id)
    }),
  ),
  party.map((index) =>
    command(`verify(${index})`, async (_, world) => {
      const stream = world.stream(pick(world, index))
      if (stream) await world.transmitter.sendVerification(stream.id).catch(() => {})
    }),
  ),
  fc.boolean().map((sudden) => command(`rotate(${sudden ? 'sudden' : 'announced'})`, (_, world) => world.rotate(sudden))),
  fc.tuple(fc.nat(4), fc.boolean()).map(([rows, restart]) =>
    command(`restore(without the last ${rows}${restart ? ', with a restart' : ''})`, async (model, world) => {
      // From a backup the host starts anew; at a failover it lives on, and what it had begun belongs to a log that is no more.
      if (restart) world.crashServer(0)
      const { seq } = await world.store.head()
      const end = Math.max(0, seq - rows)
      world.store.restore(end)
      restore(model, (await world.store.head()).epoch, end)
      world.forget((_, jti) => model.lost.some(({ id }) => jti.startsWith(`${id}.`)))
    }),
  ),
  fc.constantFrom(10, 150, 1000, 12_000, 30_000).map((ms) => command(`time(${ms} ms)`, (_, world) => world.time.advance(ms))),
  fc.constantFrom(10, 150, 1000, 12_000, 30_000).map((ms) => command(`time(${ms} ms)`, (_, world) => world.time.advance(ms))),
]
