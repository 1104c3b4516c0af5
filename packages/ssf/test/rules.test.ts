import { EVENT, type JsonObject } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import { isLive } from '../src/transmitter/index.ts'
import { AUDIENCE, callerOf, createLoop, type Loop, type Request, revoke, startGuard, until } from './loop.ts'

/** A transmitter with location rules: `parts` are what it has now. */
function createRuled() {
  const state = { version: 1, more: [{ policies: [] }] as JsonObject[], asked: [] as [since: number, receiver: string][] }
  const loop = createLoop({
    wrap: (store) => ({
      ...store,
      async *rules(since, receiver) {
        state.asked.push([since, receiver])
        yield { version: state.version, since }
        yield* state.more
      },
    }),
  })
  const changed = () => {
    state.version++
    return loop.store.commit({
      type: EVENT.locationRulesChanged,
      subject: { complex: { format: 'complex', tenant: { format: 'opaque', id: 'acme' } } },
    })[0]?.seq
  }
  return { loop, state, changed }
}

/** A guard that takes rules, and says by which version it stands. */
function createTaker(refuses: (version: number) => boolean = () => false) {
  const loaded: JsonObject[][] = []
  const versionOf = (parts: JsonObject[] | undefined) => Number(parts?.[0]?.version ?? 0)
  const on = {
    rules: {
      since: () => versionOf(loaded.at(-1)),
      load(parts: JsonObject[]) {
        if (refuses(versionOf(parts))) throw new Error('cannot be read')
        loaded.push(parts)
      },
    },
  }
  return { loaded, on, version: () => versionOf(loaded.at(-1)) }
}

function start(loop: Loop, refuses?: (version: number) => boolean) {
  const { loaded, on, version } = createTaker(refuses)
  const told: string[] = []
  const users = new Set<string>()
  const guard = startGuard(loop, {
    stream: { subjects: 'complex', alg: 'ES256', guard: true, evaluates: ['ip'] },
    on: {
      ...on,
      snapshot: (cutoffs) => {
        for (const { id } of cutoffs) users.add(id)
      },
      event: ({ subject }) => {
        const user = 'user' in subject ? (subject.user as { sub: string }).sub : undefined
        if (user) users.add(user)
      },
      synced: ({ seq }) => void (told.at(-1) !== `synced ${seq}` && told.push(`synced ${seq}`)),
      outOfSync: (reason) => void told.push(reason),
    },
  })
  return { guard, told, users, loaded, version }
}

const asksRules = ({ path, query }: Request) => path.endsWith('/snapshot') && query.get('only') === 'rules'
const appliedIn = (loop: Loop) =>
  Math.max(0, ...loop.requests.map(({ body }) => Number((body?.caegis_applied as { seq?: number } | undefined)?.seq ?? 0)))

describe('location rules', () => {
  it('come with the snapshot, before the guard is in sync', async () => {
    const { loop, state } = createRuled()
    const { guard, told, loaded } = start(loop)
    await until(() => told.length > 0)
    expect(told).toEqual(['synced 0'])
    expect(loaded).toEqual([[{ version: 1, since: 0 }, { policies: [] }]])
    expect(state.asked).toEqual([[0, 'files-api']])
    await guard.follower.close()
  })

  it('D5: an event that tells of new ones counts as applied only once they are in force; what follows it is in force before', async () => {
    const { loop, changed } = createRuled()
    let broken = true
    loop.intercept = (request, next) => (broken && asksRules(request) ? new Response(null, { status: 503 }) : next())
    const { guard, told, users, version } = start(loop)
    await until(() => told.includes('synced 0'))
    changed()
    loop.store.commit(revoke('alice'))
    await until(() => users.has('alice') && loop.requests.filter(asksRules).length > 2)
    expect(told).toEqual(['synced 0'])
    expect(appliedIn(loop)).toBe(0)
    expect(version()).toBe(1)
    broken = false
    await until(() => told.includes('synced 2'))
    expect(version()).toBe(2)
    // Only what changed since was asked for.
    expect(loop.requests.filter(asksRules).every(({ query }) => query.get('since') === '1')).toBe(true)
    await guard.follower.close()
  })

  it('D5: rules that cannot be taken in leave the guard out of sync', async () => {
    const { loop, changed, state } = createRuled()
    const { guard, told, version } = start(loop, (given) => given === 2)
    await until(() => told.includes('synced 0'))
    changed()
    await until(() => told.some((one) => one.startsWith('cannot apply the location rules')) || told.length > 1)
    expect(told).toEqual(['synced 0', expect.stringContaining('location rules')])
    expect(version()).toBe(1)
    state.version = 3
    await until(() => told.at(-1) === 'synced 1')
    expect(version()).toBe(3)
    await guard.follower.close()
  })

  it('several events need one look', async () => {
    const { loop, changed } = createRuled()
    const { guard, told, version } = start(loop)
    await until(() => told.includes('synced 0'))
    let held = true
    loop.intercept = async (request, next) => {
      if (held && request.path.includes('/poll/')) return new Response(null, { status: 503 })
      return next()
    }
    for (let i = 0; i < 5; i++) changed()
    held = false
    await until(() => told.includes('synced 5'))
    expect(version()).toBe(6)
    expect(loop.requests.filter(asksRules)).toHaveLength(1)
    await guard.follower.close()
  })

  it('D5: rules of before the event are refused, and so is a part for the whole', async () => {
    const { loop, changed } = createRuled()
    let old: string | undefined
    loop.intercept = async (request, next) => {
      if (!asksRules(request)) return next()
      if (old !== undefined) return new Response(old)
      return next()
    }
    const { guard, told, version } = start(loop)
    await until(() => told.includes('synced 0'))
    changed()
    await until(() => told.includes('synced 1'))
    // What a cache, or somebody in between, might hand out again.
    const streamId = loop.requests.find(asksRules)?.query.get('stream_id') as string
    old = await textOf(loop, streamId, { only: 'rules', since: '1' })
    changed()
    await until(() => told.some((one) => one.includes('location rules refused (older than the stream)')))
    // The snapshot that mends it holds them.
    await until(() => told.at(-1) === 'synced 2')
    expect(version()).toBe(3)
    await guard.follower.close()
  })

  it.each([
    ['rules', 'in place of everything', false],
    ['everything', 'in place of rules', true],
  ])('%s sealed %s: refused', async (_, __, wantsRules) => {
    const { loop, changed } = createRuled()
    loop.store.commit(revoke('alice'))
    let swapped = 0
    let streamId = ''
    loop.intercept = async (request, next) => {
      if (!request.path.endsWith('/snapshot') || asksRules(request) !== wantsRules || swapped > 2) return next()
      streamId = request.query.get('stream_id') as string
      swapped++
      return new Response(await textOf(loop, streamId, wantsRules ? {} : { only: 'rules' }))
    }
    const { guard, told, users } = start(loop)
    if (wantsRules) {
      await until(() => told.includes('synced 1'))
      changed()
    }
    await until(() => told.some((one) => one.includes('refused')))
    expect(told.find((one) => one.includes('refused'))).toMatch(/seal: part|cutoffs/)
    await until(() => told.at(-1) === `synced ${wantsRules ? 2 : 1}`)
    expect(users).toContain('alice')
    await guard.follower.close()
  })

  it('a million ranges are lines of bounded length, and rules alone prove no snapshot', async () => {
    const { loop, state } = createRuled()
    const ranges = Array.from({ length: 10_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`)
    state.more = [{ location: { id: 'l', kind: 'ip', trusted: true } }, ...Array.from({ length: 100 }, () => ({ ranges }))]
    const { body } = await loop.transmitter.create(callerOf(), {
      caegis: { subjects: 'complex', alg: 'ES256', guard: true, evaluates: ['ip', 'country', 'ip'] },
    })
    const { stream_id: id, caegis } = body as { stream_id: string; caegis: object }
    expect(caegis).toMatchObject({ evaluates: ['ip', 'country'] })
    const lines = (await textOf(loop, id, { only: 'rules' })).split('\n')
    expect(lines.length).toBe(1 + 2 + 100 + 1 + 1)
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(1_048_576)
    expect(lines.join('\n').length).toBeGreaterThan(14_000_000)
    const stream = await loop.store.getStream(id)
    expect(stream).toMatchObject({ aud: AUDIENCE, evaluates: ['ip', 'country'] })
    expect(stream?.hydrated).toBeUndefined()
    await textOf(loop, id, {})
    expect((await loop.store.getStream(id))?.hydrated).toBeDefined()
    expect(isLive({ ...(stream as NonNullable<typeof stream>) }, Date.now() / 1000, 30, 'x')).toBe(false)
  })

  it.each([
    [{ only: 'cutoffs' }, 'only'],
    [{ since: '-1' }, 'since'],
    [{ since: '1e3' }, 'since'],
    [{ since: '1'.repeat(16) }, 'since'],
  ])('asked for badly: %j', async (part, detail) => {
    const { loop } = createRuled()
    expect(await loop.transmitter.snapshot(callerOf(), 'x', part)).toMatchObject({
      status: 400,
      body: { error_description: expect.stringContaining(detail) },
    })
  })

  it('what a stream evaluates is a guard`s to say, in known words', async () => {
    const { loop } = createRuled()
    for (const caegis of [
      { evaluates: ['ip'] },
      { subjects: 'complex', guard: true, evaluates: 'ip' },
      { subjects: 'complex', guard: true, evaluates: ['ip', 'moon'] },
    ]) {
      expect(await loop.transmitter.create(callerOf(), { caegis })).toMatchObject({ status: 400 })
    }
    // A transmitter that makes something else of it would leave to the guard what it cannot do.
    loop.alter = async ({ path, method }, response) => {
      if (!path.endsWith('/streams') || method !== 'POST') return response
      const made = (await response.json()) as { caegis: object }
      return Response.json({ ...made, caegis: { ...made.caegis, evaluates: ['ip', 'country'] } }, { status: 201 })
    }
    const { guard, told } = start(loop)
    await until(() => told.includes('stream refused (evaluates)'))
    await guard.follower.close()
  })
})

async function textOf(loop: Loop, streamId: string, part: { only?: string; since?: string }): Promise<string> {
  const answer = await loop.transmitter.snapshot(callerOf(), streamId, part)
  let text = ''
  for await (const line of answer.body as AsyncIterable<string>) text += line
  return text
}
