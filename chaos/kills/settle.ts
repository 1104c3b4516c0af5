import { setTimeout as sleep } from 'node:timers/promises'
import { EVENT } from '@caegis/protocol'
import type { Receiver } from '@caegis/ssf/receiver'
import { ALLOWED } from '../model.ts'
import type { Answers, State } from './guard.ts'
import { type Held, type Ledger, name } from './ledger.ts'
import type { Load } from './load.ts'
import { checkIntegrity, type Found, isForAll, type LogEvent, readStore } from './store.ts'
import type { World } from './world.ts'

export interface SettleOptions {
  world: World
  ledger: Ledger
  load: Load
  /** What the receiver got, by event, in the order of its first arrival. */
  got: ReadonlyMap<string, number>
  receiver: Pick<Receiver, 'status'>
  /** What two looks before found in the log. */
  known: { events: readonly LogEvent[] }
  verdicts(guard: number, tokens: string[]): Promise<Answers | undefined>
  say(fault: string): void
}

/** Milliseconds within which everything is back, and everybody knows what happened. */
const PATIENCE = 300_000
const BATCH = 200

/** Nothing is under way any more: now all that was acknowledged must be there, everywhere. */
export async function settle(options: SettleOptions): Promise<void> {
  const { world, ledger, load, known, say } = options
  const found = await readStore(world.store)
  checkLog(found, known.events, say)
  known.events = found.events
  checkChanges(found, ledger, say)
  checkState(found, load, say)
  const integrity = await checkIntegrity(world.store)
  if (integrity !== 'ok') say(`the database says of itself: ${integrity}`)
  await checkReceiver(found, options)
  const all = ledger.settle(found)
  for (const [i, guard] of world.guards.entries()) await checkGuard(i, guard.name, found, all, options)
  prune(ledger, load)
}

export async function until<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T | undefined> {
  for (const end = Date.now() + PATIENCE; Date.now() < end; await sleep(50)) {
    const seen = await look()
    if (seen !== undefined) return seen
  }
  return undefined
}

function checkLog({ events, head, audits, byTxn }: Found, before: readonly LogEvent[], say: (fault: string) => void): void {
  if (events.length !== head || events.some(({ seq }, i) => seq !== i + 1)) say(`the log has a hole: ${events.length} events, head ${head}`)
  const lost = before.filter(({ id }, i) => events[i]?.id !== id)
  if (lost.length > 0) say(`${lost.length} events that were in the log are not there any more, the first ${lost[0]?.seq}`)
  if (new Set(events.map(({ id }) => id)).size !== events.length) say('an event is in the log twice')
  for (const txn of byTxn.keys()) if (!audits.has(txn)) say(`events of ${txn} have no audit record`)
}

function checkChanges({ byTxn, audits }: Found, { changes }: Ledger, say: (fault: string) => void): void {
  for (const { op, acked, txn, event, user, sid } of changes) {
    if (acked === undefined || txn === undefined) continue
    const events = byTxn.get(txn) ?? []
    const what = `${op} ${txn} of ${user}, acknowledged at ${acked},`
    // An edit that changed nothing leaves no trace; whoever was certain that it would change something expects an event.
    if (!audits.has(txn) && op !== 'enable') say(`${what} has no audit record`)
    if (event === undefined) continue
    const its = events.filter(({ type }) => type === event)
    if (its.length !== 1 || its[0]?.user !== user || its[0]?.sid !== sid)
      say(`${what} has ${its.length} events (${events.map(({ seq }) => seq).join(' ')})`)
  }
}

function checkState(found: Found, { slots, policies }: Load, say: (fault: string) => void): void {
  const { users, events } = found
  for (const { id, upn, enabled, deleted, limbo } of slots) {
    if (id === undefined || limbo) continue
    const row = users.get(id)
    if (!row) say(`${upn} (${id}) is gone`)
    else if (deleted !== undefined && row.deleted !== deleted) say(`${upn} (${id}) is ${row.deleted ? '' : 'not '}deleted`)
    else if (deleted === false && enabled !== undefined && row.enabled !== enabled) say(`${upn} (${id}) is ${row.enabled ? 'enabled' : 'disabled'}`)
  }
  // An instant without its event is as wrong as an event without its instant.
  const whole = Map.groupBy(
    events.filter(({ t, sid }) => t !== undefined && sid === undefined),
    ({ user }) => user,
  )
  for (const { id, validFrom, cutoff } of users.values()) {
    const its = whole.get(id) ?? []
    const last = (some: readonly LogEvent[]) => Math.max(0, ...some.map(({ t }) => t as number))
    // Of another depth: access tokens alone.
    const deep = its.filter(({ type }) => type !== EVENT.riskLevelChange)
    if (validFrom !== last(deep)) say(`${id} is valid from ${validFrom}, by the log from ${last(deep)}`)
    const kept = last(its.filter(({ hits }) => hits))
    if (cutoff !== kept) say(`the cutoff of ${id} is ${cutoff}, by the log ${kept}`)
  }
  for (const [id, { names, deleted }] of policies) {
    const row = found.policies.get(id)
    if (!row) say(`policy ${id} is gone`)
    else if (deleted !== undefined && row.deleted !== deleted) say(`policy ${id} is ${row.deleted ? '' : 'not '}deleted`)
    else if (!names.has(row.name)) say(`policy ${id} is called ${row.name}, and was last named ${[...names].join(' or ')}`)
  }
}

/** Everything arrived, and of each subject the earlier event before the later one. */
async function checkReceiver({ events }: Found, { got, receiver, say }: SettleOptions): Promise<void> {
  const wanted = events.filter(isForAll)
  if (!(await until(() => wanted.every(({ id }) => got.has(id)) || undefined)))
    say(
      `the receiver never got ${wanted.filter(({ id }) => !got.has(id)).length} events: ${wanted
        .filter(({ id }) => !got.has(id))
        .slice(0, 5)
        .map(({ seq }) => seq)}`,
    )
  for (const [user, its] of Map.groupBy(wanted, (event) => `${event.user} ${event.sid}`)) {
    const places = its.map(({ id }) => got.get(id) ?? 0)
    if (places.some((place, i) => i > 0 && place < (places[i - 1] as number))) say(`events about ${user} arrived out of order`)
  }
  const { gaps, counts } = receiver.status()
  if (gaps > 0) say(`the receiver's stream was lost ${gaps} times`)
  if (counts.refused + counts.lost + counts.failed > 0) say(`the receiver could not take ${counts.refused + counts.lost + counts.failed} SETs`)
}

async function checkGuard(
  i: number,
  which: string,
  { head, live, told }: Found,
  all: { held: Held; dead: boolean }[],
  options: SettleOptions,
): Promise<void> {
  const { world, verdicts, say } = options
  let last: State | undefined
  const there = await until(async () => {
    last = await world.guards[i]?.state()
    return last?.inSync && last.head && last.head.seq >= head ? last : undefined
  })
  if (!there) return say(`guard ${which} is not in sync: ${last?.reason}, at ${last?.head?.seq} of ${head}`)
  if (there.head?.seq !== head) say(`guard ${which} is at ${there.head?.seq}, the log at ${head}`)
  if (there.cutoffs < live || there.cutoffs > told) say(`guard ${which} has ${there.cutoffs} cutoffs, the store ${live}, the log told of ${told}`)
  for (let from = 0; from < all.length; from += BATCH) {
    const some = all.slice(from, from + BATCH)
    const answers = await until(() =>
      verdicts(
        i,
        some.map(({ held }) => held.text),
      ),
    )
    for (const [at, { held, dead }] of some.entries()) {
      const code = answers?.codes[at]
      if (held.exp < Date.now() / 1000 + 60 || code === (dead ? 'revoked' : ALLOWED)) continue
      say(
        `when all was back, guard ${which} answered ${code} to ${name(held)}, which is ${dead ? 'dead' : 'good'}, at ${answers?.head?.seq} of ${head}`,
      )
    }
  }
}

/** What nobody has to decide about any more is shown again for a while, and then forgotten. */
function prune({ tokens }: Ledger, { slots }: Load): void {
  const kept = new Set(slots.flatMap(({ held }) => held))
  for (const held of tokens) if (tokens.size > 600 && !kept.has(held)) tokens.delete(held)
}
