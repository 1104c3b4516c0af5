import type { Pair } from './pairs.ts'
import { type Doing, fresh, heldOf, type Person, type Stage } from './stage.ts'
import type { Held } from './watch.ts'
import { BOUND } from './world.ts'

/** Bad lines at the same time. */
export type Tried = readonly { pair: Pair; fault: string; share?: number }[]

export const nameOf = (tried: Tried) => tried.map(({ pair, fault }) => `${pair.name}: ${fault}`).join(' + ')

export interface Ran {
  name: string
  seconds: number
  /** Milliseconds from the moment when the line was good again to everybody's being in sync and right. */
  healed: number
  hits: number
}

/** Seconds: for guards to notice; for everything to be right again; for receivers, whose transmitter pauses longer and longer. */
const NOTICE = 20
const HEAL = 75
const DELIVER = 90

/**
 * People sign in; the line between two parties goes bad; some of what they hold is taken back meanwhile; the line is good again. All the while every guard is asked about
 * everybody, and what the pair does is done.
 */
export async function play(stage: Stage, pairs: Tried): Promise<Ran> {
  const { world, watch, random, until } = stage
  const name = nameOf(pairs)
  const begun = performance.now()
  const before = stage.faults.length
  await until('in sync before', HEAL, stage.inSync)
  const since = await stage.position()
  const [early, late, kept] = [await stage.person(), await stage.person(), await stage.person()]
  const single = await renewed(kept)
  const held = [early.held, late.held, kept.held, single]
  watch.hold(...held)
  const hitsBefore = pairs.map(({ pair }) => pair.hit(world))

  let good = false
  const doing = new Set(pairs.flatMap(({ pair }): Doing[] => (pair.doing ? [pair.doing] : [])))
  for (const { pair, fault, share } of pairs) pair.set(world, fault, share)
  const ends = Promise.all([...doing].map((one) => one(stage, () => good)))
  await pause(random.between(0, 300))
  await stage.revokeUser(early.user, early.held)
  await pause(random.between(0, 700))
  await stage.revokeToken(single)
  const deaf = new Set(pairs.flatMap(({ pair, fault, share }) => (share === undefined ? pair.deaf(fault) : [])))
  if (deaf.size > 0) await goDeaf(stage, deaf, kept)
  else await pause(random.between(300, 2500))
  await stage.revokeUser(late.user, late.held)

  world.heal()
  good = true
  const healedAt = performance.now()
  const last = await stage.position()
  await until('in sync and past it after', HEAL, () => stage.inSync() && world.guards.every(({ guard }) => (guard.status().head?.seq ?? 0) >= last))
  const healed = performance.now() - healedAt
  for (const { name: who, guard } of world.guards) {
    for (const one of held) {
      const verdict = await guard.check({ headers: { authorization: `Bearer ${one.text}` } })
      if (verdict.allowed) verdict.release()
      if (verdict.allowed !== !one.dead) stage.fault(`${who} at the end: ${one.whose} is ${verdict.allowed ? 'let in' : `refused (${verdict.code})`}`)
    }
  }
  for (const end of await ends) await end()
  // I5, the other way round: who was silent is heard again.
  await until('long-lived tokens after', HEAL, async () => (await renewed(kept)).long)
  const delivered = performance.now()
  let lacking = await stage.missing(since)
  while (lacking !== undefined && performance.now() - delivered < DELIVER * 1000) {
    await pause(50)
    lacking = await stage.missing(since)
  }
  if (lacking !== undefined) stage.fault(`I3: ${lacking}`)
  watch.forget(...held)
  const hits = pairs.reduce((sum, { pair }, i) => sum + pair.hit(world) - (hitsBefore[i] as number), 0)
  for (let i = before; i < stage.faults.length; i++) stage.faults[i] = `${name}: ${stage.faults[i]}`
  return { name, seconds: (performance.now() - begun) / 1000, healed, hits }
}

/** I4 and I5: guards that hear nothing say so, and nothing is issued that only they could take back. */
async function goDeaf({ world, until, fault }: Stage, deaf: ReadonlySet<string>, kept: Person): Promise<void> {
  const guards = world.guards.filter(({ name }) => deaf.has(name))
  await until(`${[...deaf].join(' and ')} say that they are stale`, NOTICE, () => guards.every(({ guard }) => !fresh(guard.status())))
  for (const { name, guard, strict } of guards.filter((one) => one.strict)) {
    const verdict = await guard.check({ headers: { authorization: `Bearer ${kept.held.text}` } })
    if (verdict.allowed) verdict.release()
    if (strict && (verdict.allowed || verdict.status !== 503) && !fresh(guard.status())) fault(`I4: ${name} is deaf and does not answer 503`)
  }
  // By now the server has heard nothing of what was taken back from them for as long.
  await pause(BOUND * 1000)
  const { long } = await renewed(kept)
  if (long) fault('I5: a long-lived token while guards are silent')
}

/** Another token of the same session, asked for past all proxies. */
async function renewed({ lineage, user }: Person): Promise<Held> {
  const { status, body } = await lineage.refresh(lineage.refreshToken)
  if (status !== 200) throw new Error(`a refresh past all proxies was answered ${status} ${body.error}`)
  lineage.refreshToken = String(body.refresh_token)
  return heldOf(String(body.access_token), user)
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
