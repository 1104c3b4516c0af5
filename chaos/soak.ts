import { type ChildProcess, fork } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type Figure, quantile as quantileOf } from '../bench/figure.ts'
import type { Answers, State } from './api.ts'
import { beforeStart, type Committed, type IssuerStart, type Revocation } from './issuer.ts'
import { ALLOWED, createModel } from './model.ts'
import { createPeriod, type Period, slope } from './period.ts'
import type { Outcome, RunOptions } from './run.ts'
import { createMint, type Held } from './tokens.ts'

const LIVE = 1_000_000
const RATE = 1000
/** Seconds that a token and its cutoff live, so that as many expire as come. */
const LIFE = LIVE / RATE
const TICK = 20
const TICKS = 1000 / TICK
/** Ticks from one list of cutoffs to the next, and single-subject SETs a tick: 10 and 200 a second. */
const LIST_EVERY = 5
const SINGLES = 4
/** Checks a tick, by what they show. */
const LOAD = { living: 42, revoked: 8, again: 5 }
/** Living tokens that are shown again and again: so few that the guard, which forgets what was not asked for in some ten seconds, knows each of them. */
const POOL = 1500
/** People whose tokens are shown before they are cut off: those of the next seconds. */
const SOON = 20 * RATE
/** Seconds until all is full that a guard remembers for a while: ten thousand `jti`s, tokens that were seen. */
const WARM_UP = 60
/** Milliseconds that a process may take to be ready, and the last answers to come: no run waits for ever. */
const TIME_LIMIT = 180_000
const MB = 1e6
/** What may differ between the first and the last stretch of a run before it counts as growth. */
const BOUNDS = { share: 1.15, rss: 32 * MB, heap: 8 * MB, times: 2, microseconds: 100, live: 1.2, applied: 10_000 }

/**
 * One guard over a million live cutoffs, a thousand more a second and as many that expire, while it is asked without a pause: every answer is held against a model, and what
 * it costs at the end against what it cost in the beginning. Issuer, guard and driver are processes of their own, with HTTP between the first two.
 */
export async function run({ short, seconds = short ? 60 : 600, emit, progress }: RunOptions): Promise<Outcome> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = privateKey.export({ format: 'jwk' })
  const children: ChildProcess[] = []
  try {
    const issuer = start('issuer.ts', [], children)
    const begun: IssuerStart = { jwk, live: LIVE, life: LIFE, until: Math.floor(Date.now() / 1000), rate: RATE }
    issuer.send(begun)
    const { issuer: url } = await message<{ issuer: string }>(issuer)
    progress('the issuer has its million; the guard hydrates')
    const api = start('api.ts', [url], children)
    const { hydration } = await message<{ hydration: number }>(api)
    emit({ suite: 'soak', name: 'guard made -> ready, 1 M cutoffs', value: hydration, unit: 'ms' })
    const soak = createSoak({ issuer, api, url, begun, progress })
    await soak.load(WARM_UP + seconds)
    return report(soak.periods, soak.faults, seconds, emit)
  } finally {
    for (const child of children) if (child.connected) child.disconnect()
    for (const child of children) await ended(child)
  }
}

interface Parts {
  issuer: ChildProcess
  api: ChildProcess
  url: string
  begun: IssuerStart
  progress(text: string): void
}

function createSoak({ issuer, api, url, begun, progress }: Parts) {
  const model = createModel(beforeStart(begun))
  const mint = createMint(url, begun.jwk)
  const faults: string[] = []
  const periods: Period[] = []
  const living: Held[] = []
  const revoked: Held[] = []
  const again: Held[] = []
  /** Shown until their owner is cut off, and then until they were refused a few times. */
  const soon = new Map<number, Held>()
  const racing = new Map<Held, number>()
  const asked = new Map<number, Held[]>()
  const decided: { person: number; at: number }[] = []
  let period = createPeriod(0)
  let batch = 0
  let nobody = 0
  let over = false

  issuer.on('message', ({ from, count, seq, form }: Committed) => {
    const wrong = form === 'list' ? model.committed(from, count, seq) : singles(from, count, seq)
    if (wrong > 0) fault(wrong, `${wrong} were let in by what had been applied already`)
  })
  api.on('message', (told: Answers | State) => ('codes' in told ? judge(told) : remember(told)))
  for (const child of [issuer, api]) child.once('exit', (code) => over || faults.push(`a process ended by itself (${code})`))

  return { periods, faults, load }

  function singles(from: number, count: number, seq: number): number {
    let wrong = 0
    for (let i = 0; i < count; i++) wrong += model.committed(from + i, 1, seq + i)
    return wrong
  }

  function fault(count: number, text: string): void {
    period.wrong += count
    if (faults.length < 20) faults.push(text)
  }

  async function load(seconds: number): Promise<void> {
    const begin = performance.now()
    const length = Math.min(60, (seconds - WARM_UP) / 4)
    // By the clock and not by the timer, so that a late tick is caught up with.
    for (let tick = 0; tick < seconds * TICKS; tick++) {
      const wait = begin + tick * TICK - performance.now()
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
      if (api.exitCode !== null || issuer.exitCode !== null) break
      const elapsed = tick / TICKS
      if (tick === WARM_UP * TICKS || (elapsed > WARM_UP && Math.abs((elapsed - WARM_UP) % length) < 1 / TICKS / 2)) next(elapsed)
      cutOff(tick)
      check(tick)
      if (tick % (2 * TICKS) === TICKS) api.send({ ask: 'state' })
      if (tick % (10 * TICKS) === 0 && tick > 0) say(elapsed, performance.now() - begin - tick * TICK)
    }
    const late = performance.now() + TIME_LIMIT
    // What was decided must arrive, however late the machine is: then nothing is left open.
    while (decided.length > 0 && performance.now() < late && api.exitCode === null && issuer.exitCode === null) {
      check(0)
      await new Promise((resolve) => setTimeout(resolve, TICK))
    }
    while (asked.size > 0 && performance.now() < late && api.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20))
    if (asked.size > 0) faults.push(`${asked.size} batches of checks were never answered`)
    if (decided.length > 0) faults.push('some revocations were never applied')
    over = true
    periods.push(period)
  }

  function next(elapsed: number): void {
    // What was measured while everything was compiled counts for its verdicts only.
    periods.push(period)
    period = createPeriod(elapsed)
  }

  function say(elapsed: number, late: number): void {
    const memory = period.memory.at(-1)
    const wrong = period.wrong + periods.reduce((sum, one) => sum + one.wrong, 0)
    const size = memory ? `${Math.round(memory.rss / MB)} MB, ${memory.cutoffs.toLocaleString('en')} cutoffs` : ''
    progress(
      `${elapsed} s: ${model.count - LIVE} cut off, ${wrong} wrong answers, ${size}${late > 1000 ? `, the driver is ${(late / 1000).toFixed(1)} s behind` : ''}`,
    )
  }

  function cutOff(tick: number): void {
    const t = Math.floor(Date.now() / 1000)
    const send = (count: number, form: Revocation['form']) => {
      const at = performance.now()
      const from = model.cutOff(count, t)
      for (let person = from; person < from + count; person++) {
        const held = soon.get(person)
        soon.delete(person)
        if (held) racing.set(held, 0)
      }
      decided.push({ person: from + count - 1, at })
      issuer.send({ from, count, t, until: t + LIFE, form } satisfies Revocation)
      period.revoked += count
      period.sets += form === 'list' ? 1 : count
    }
    if (tick % LIST_EVERY === 0) send((RATE / TICKS) * LIST_EVERY - SINGLES * LIST_EVERY, 'list')
    send(SINGLES, 'single')
  }

  function check(tick: number): void {
    const now = Math.floor(Date.now() / 1000)
    const tokens: Held[] = []
    // First sights: of people who were cut off, two a tick, so that many a place of the table is looked at; of one who has signed in again since; of those who soon will be
    // cut off, and of somebody who never is.
    tokens.push(
      before(now),
      before(now),
      tick % 2 === 0 ? since(now) : expectant(now),
      tick % 3 === 0 ? keep(living, mint(--nobody, now, now + LIFE)) : expectant(now),
    )
    for (const held of racing.keys()) if (tokens.length < 2 * LOAD.living) tokens.push(held)
    for (const [pool, count] of [
      [living, LOAD.living],
      [revoked, LOAD.revoked],
      [again, LOAD.again],
    ] as const) {
      for (let i = 0; i < count && pool.length > 0; i++) tokens.push(pool[Math.floor(Math.random() * pool.length)] as Held)
    }
    for (const held of random(soon, 4)) tokens.push(held)
    // Their end is not what is tried here; those of the revoked stay refused.
    const shown = tokens.filter(({ person, iat, exp }) => exp > now + 90 || iat <= model.cutoffOf(person))
    asked.set(++batch, shown)
    api.send({ ask: 'check', id: batch, tokens: shown.map(({ text }) => text) })
  }

  function expectant(now: number): Held {
    const person = model.count + Math.floor(Math.random() * SOON)
    const held = soon.get(person) ?? mint(person, now, now + LIFE)
    soon.set(person, held)
    return held
  }

  /** Somebody who was cut off: one of the million of whom the snapshot told, or of those since. */
  function cutPerson(): number {
    return model.count - 1 - Math.floor(Math.random() * LIVE * 0.9)
  }

  function before(now: number): Held {
    const person = cutPerson()
    const iat = Math.min(model.cutoffOf(person), now) - Math.floor(Math.random() * 5)
    return keep(revoked, mint(person, iat, iat + LIFE))
  }

  function since(now: number): Held {
    const person = cutPerson()
    const iat = model.cutoffOf(person) + 1
    // Until the next second begins there is no such token.
    return iat > now ? before(now) : keep(again, mint(person, iat, iat + LIFE))
  }

  function judge({ id, head, codes, microseconds }: Answers): void {
    const tokens = asked.get(id) ?? []
    asked.delete(id)
    const now = Date.now() / 1000
    for (const [i, held] of tokens.entries()) {
      const code = codes[i] as string
      ;(held.seen ? period.seen : period.firstSight).push(microseconds[i] as number)
      held.seen = true
      period.checks++
      if (code !== ALLOWED) period.refused++
      else if (held.iat <= model.cutoffOf(held.person)) period.open++
      if (!model.isRight(held, code, head, now)) {
        fault(
          1,
          `${held.person < 0 ? 'a token that nobody revoked' : `person ${held.person}`}: ${code} at ${head}, cut off at ${model.positionOf(held.person)}`,
        )
      }
      const refusals = racing.get(held)
      if (refusals === undefined) continue
      if (code !== ALLOWED) racing.set(held, refusals + 1)
      if (refusals < 3) continue
      racing.delete(held)
      keep(revoked, held)
    }
    const at = performance.now()
    while (decided.length > 0 && (model.positionOf((decided[0] as { person: number }).person) ?? Number.POSITIVE_INFINITY) <= head) {
      period.lags.push(at - (decided.shift() as { at: number }).at)
    }
  }

  function remember({ rss, heap, external, cutoffs, inSync, reason }: State): void {
    if (!inSync) fault(0, `out of sync: ${reason}`)
    period.memory.push({ at: performance.now() / 1000, rss, heap: heap + external, cutoffs })
  }
}

function keep(pool: Held[], held: Held): Held {
  if (pool.length < POOL) pool.push(held)
  else pool[Math.floor(Math.random() * POOL)] = held
  return held
}

/** Some of a map, not always its first. */
function random(map: ReadonlyMap<number, Held>, count: number): Held[] {
  const skip = Math.floor(Math.random() * Math.max(1, map.size - count))
  return [...map.values()].slice(skip, skip + count)
}

function report(periods: Period[], faults: string[], seconds: number, emit: (figure: Figure) => void): Outcome {
  const measured = periods.slice(1)
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) =>
    emit({ suite: 'soak', name, value: Number(value.toPrecision(4)), unit, ...rest })
  const total = (of: (one: Period) => number) => periods.reduce((sum, one) => sum + of(one), 0)
  const middle = (one: Period, of: (sample: Period['memory'][number]) => number) => quantile(one.memory.map(of), 0.5)
  const length = seconds / Math.max(1, measured.length)
  for (const one of measured) {
    const stretch = `${Math.round(one.begin - WARM_UP)}-${Math.round(one.begin - WARM_UP + length)} s`
    say(`${stretch}: revoked, in ${Math.round(one.sets / length)} SETs/s`, one.revoked / length, '/s')
    say(`${stretch}: decided -> applied, p50`, quantile(one.lags, 0.5), 'ms')
    say(`${stretch}: decided -> applied, p99`, quantile(one.lags, 0.99), 'ms')
    say(`${stretch}: checks`, one.checks / length, '/s')
    say(`${stretch}: wrong`, one.wrong, 'answers')
    say(`${stretch}: check, token seen before, p50`, quantile(one.seen, 0.5), 'us')
    say(`${stretch}: check, token seen before, p99`, quantile(one.seen, 0.99), 'us')
    say(`${stretch}: check, first sight, p99`, quantile(one.firstSight, 0.99), 'us')
    say(`${stretch}: resident`, middle(one, ({ rss }) => rss) / MB, 'MB')
    say(`${stretch}: heap and buffers`, middle(one, ({ heap }) => heap) / MB, 'MB')
    say(
      `${stretch}: cutoffs`,
      middle(one, ({ cutoffs }) => cutoffs),
      'live',
    )
  }
  const samples = measured.flatMap(({ memory }) => memory)
  const line = (of: (sample: Period['memory'][number]) => number) => slope(samples.map((sample) => ({ at: sample.at, value: of(sample) }))) / MB
  say(
    'refused',
    total((one) => one.refused),
    'answers',
  )
  say(
    'let in between revocation and its arrival',
    total((one) => one.open),
    'answers',
  )
  const [first, last] = [measured[0], measured.at(-1)] as [Period, Period]
  const [checks, wrong] = [total((one) => one.checks), total((one) => one.wrong)]
  const failed: string[] = []
  const bound = (name: string, value: number, limit: number, unit: string, what: string) => {
    // What was never measured holds nothing.
    const holds = value <= limit && Number.isFinite(limit)
    if (!holds) failed.push(name)
    say(name, value, unit, { budget: `<= ${Number(limit.toPrecision(4))} ${unit} (${what})`, holds })
  }
  bound('wrong answers', wrong, 0, `of ${checks.toLocaleString('en')}`, 'the model')
  for (const [name, of, more] of [
    ['resident memory', (sample) => sample.rss, BOUNDS.rss],
    ['heap and buffers', (sample) => sample.heap, BOUNDS.heap],
  ] as [string, (sample: Period['memory'][number]) => number, number][]) {
    say(`${name}, slope`, line(of), 'MB/min')
    bound(
      `${name}, last stretch`,
      middle(last, of) / MB,
      (middle(first, of) * BOUNDS.share + more) / MB,
      'MB',
      `${BOUNDS.share} x the first + ${more / MB} MB`,
    )
  }
  const p99 = (one: Period) => quantile(one.seen, 0.99)
  const what = `${BOUNDS.times} x the first + ${BOUNDS.microseconds} us`
  bound('check, token seen before, p99, last stretch', p99(last), p99(first) * BOUNDS.times + BOUNDS.microseconds, 'us', what)
  bound(
    'cutoffs, last stretch',
    middle(last, ({ cutoffs }) => cutoffs),
    LIVE * BOUNDS.live,
    'live',
    'those that expired are forgotten',
  )
  const lags = measured.flatMap((one) => one.lags)
  bound('decided -> applied, longest', largest(lags), BOUNDS.applied, 'ms', 'fixed')
  return {
    failed: [...failed, ...faults],
    summary: `${wrong} wrong of ${checks.toLocaleString('en')} answers, ${total((one) => one.revoked).toLocaleString('en')} revocations in ${total((one) => one.sets).toLocaleString('en')} SETs, ${Math.round(middle(first, ({ rss }) => rss) / MB)} -> ${Math.round(middle(last, ({ rss }) => rss) / MB)} MB, p99 ${p99(first).toFixed(0)} -> ${p99(last).toFixed(0)} us`,
  }
}

/** What was never measured is as bad as can be. */
function quantile(samples: readonly number[], share: number): number {
  return samples.length > 0 ? quantileOf(samples, share) : Number.POSITIVE_INFINITY
}

function largest(values: readonly number[]): number {
  return values.length > 0 ? values.reduce((most, one) => Math.max(most, one)) : Number.POSITIVE_INFINITY
}

function start(file: string, args: string[], children: ChildProcess[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: [...process.execArgv, '--expose-gc'] })
  children.push(child)
  return child
}

/** The first thing that a process says. */
function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('a process did not start in time')), TIME_LIMIT)
    child.once('message', (told) => {
      clearTimeout(timer)
      resolve(told as T)
    })
    child.once('exit', () => reject(new Error('a process did not start')))
  })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await new Promise((resolve) => child.once('exit', resolve))
  clearTimeout(timer)
}
