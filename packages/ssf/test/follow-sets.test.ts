import { EVENT } from '@caegis/protocol'
import { describe, expect, it } from 'vitest'
import type { StreamRecord } from '../src/transmitter/index.ts'
import { answering, endFollowers, guardOf, isPoll, jwtOf } from './followers.ts'
import { AUDIENCE, createLoop, es256, ISSUER, makeKey, revoke, truth, until } from './loop.ts'

endFollowers()

describe('SETs', () => {
  it('a gap is out of sync, and a new snapshot mends it', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    let once = true
    loop.alter = answering(
      isPoll,
      (body) => {
        const sets = Object.entries(body.sets as object)
        if (sets.length > 0) once = false
        return { ...body, sets: Object.fromEntries(sets.slice(1)) }
      },
      () => once,
    )
    loop.store.commit(revoke('alice'), revoke('bob'))
    await until(() => guard.reasons.includes('gap') && guard.told.at(-1) === 'synced')
    expect(guard.told.filter((told) => told === 'event')).toEqual([])
    expect(guard.table).toEqual(await truth(loop.store))
    expect(guard.heads.at(-1)?.seq).toBe(2)
  })

  it('B6: a SET under a new key is verified after one look; never setErrs', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const rotated = await makeKey('ES256', 'es-2')
    loop.keys.ES256 = rotated
    loop.jwks = [rotated.jwk]
    loop.store.commit(revoke('alice'))
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.reasons).toEqual([])
    expect(guard.events).toHaveLength(1)
  })

  it('B6, E2: a new key is found although a cache on the way goes on showing the old ones', async () => {
    const loop = createLoop()
    const cache = new Map<string, string>()
    loop.intercept = async ({ path, query }, next) => {
      if (path !== '/acme/keys') return next()
      const name = query.toString()
      const text = cache.get(name) ?? (await (await next()).text())
      cache.set(name, text)
      return new Response(text)
    }
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    for (const [i, kid] of ['es-2', 'es-3'].entries()) {
      const rotated = await makeKey('ES256', kid)
      loop.keys.ES256 = rotated
      loop.jwks = [rotated.jwk]
      loop.store.commit(revoke('alice'))
      await until(() => guard.heads.at(-1)?.seq === i + 1)
    }
    expect(guard.reasons).toEqual([])
  })

  it('B6: one that cannot be verified stays unacknowledged, out of sync, until the key is there', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const rotated = await makeKey('ES256', 'es-2')
    loop.keys.ES256 = rotated
    loop.store.commit(revoke('alice'))
    await until(() => guard.reasons.some((reason) => reason.startsWith('a SET cannot be verified')))
    await until(() => guard.reasons.some((reason) => reason.startsWith('snapshot refused')))
    expect(guard.told.at(-1)).not.toBe('synced')
    expect(loop.requests.some(({ body }) => body && 'setErrs' in body)).toBe(false)
    expect(loop.requests.some(({ body }) => body && 'ack' in body)).toBe(false)
    loop.jwks = [es256.jwk, rotated.jwk]
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.table).toEqual(await truth(loop.store))
  })

  it('B6: while the keys cannot be fetched, nothing is lost and nothing is said', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const rotated = await makeKey('ES256', 'es-2')
    loop.keys.ES256 = rotated
    loop.jwks = [rotated.jwk]
    let down = true
    loop.intercept = ({ path }, next) => (path === '/acme/keys' && down ? new Response(null, { status: 503 }) : next())
    loop.store.commit(revoke('alice'))
    await until(() => guard.follower.status().error === 'unavailable')
    expect(guard.reasons).toEqual([])
    down = false
    await until(() => guard.heads.at(-1)?.seq === 1)
    expect(guard.events).toHaveLength(1)
  })

  it('one that cannot be applied is out of sync and not acknowledged; the snapshot goes around it', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    guard.onEvent = (set) => {
      if (set.seq === 2) throw new Error('no')
    }
    loop.store.commit(revoke('alice'), revoke('bob'), revoke('carol'))
    await until(() => guard.reasons.includes(`cannot apply ${EVENT.sessionRevoked}`) && guard.told.at(-1) === 'synced')
    expect(guard.events.map((event) => event.seq)).toEqual([1])
    expect(guard.table).toEqual(await truth(loop.store))
  })

  it('A6: one from the future is not applied', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    loop.tamper = (payload) => ('events' in payload ? { ...payload, iat: Math.floor(Date.now() / 1000) + 120 } : payload)
    loop.store.commit(revoke('alice'))
    await until(() => guard.reasons.some((reason) => reason.includes('future')))
    expect(guard.events).toEqual([])
  })

  it('one under the name of another is not acknowledged', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    loop.alter = answering(isPoll, (body) => ({
      ...body,
      sets: Object.fromEntries(Object.values(body.sets as object).map((jwt) => ['other', jwt])),
    }))
    loop.store.commit(revoke('alice'))
    await until(() => guard.reasons.includes('a SET cannot be verified (jti)'))
    expect(loop.requests.some(({ body }) => body && 'ack' in body)).toBe(false)
  })

  it('a verification of ours is acknowledged and changes nothing', async () => {
    const loop = createLoop()
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const { id, receiver, aud } = loop.store.streams()[0] as StreamRecord
    await loop.transmitter.verify({ receiver, audience: aud, scopes: new Set(['ssf.manage']) }, { stream_id: id, state: 'x' })
    await until(async () => guard.follower.status().counts.ignored === 1 && (await loop.store.listControls(id)).length === 0)
    expect(guard.reasons).toEqual([])
    expect(guard.events).toEqual([])
  })

  const control = (type: string, id: string, payload: Record<string, unknown>, jti = 'c1') =>
    jwtOf({
      iss: ISSUER,
      aud: AUDIENCE,
      jti,
      iat: Math.floor(Date.now() / 1000),
      sub_id: { format: 'opaque', id },
      events: { [type]: payload },
    })

  it('stream-updated of ours is out of sync, even beside an enabled head', async () => {
    const loop = createLoop({ limits: { hold: 0.02 } })
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const jwt = await control(EVENT.streamUpdated, loop.store.streams()[0]?.id as string, { status: 'paused' })
    let once = true
    let beside: unknown
    loop.alter = answering(
      isPoll,
      (body) => {
        once = false
        beside = body.caegis_head
        return { ...body, sets: { c1: jwt } }
      },
      () => once,
    )
    await until(() => guard.reasons.length > 0)
    expect(guard.reasons).toEqual(['stream paused'])
    const heads = guard.heads.length
    // The next head says enabled, and that everything is applied.
    await until(() => guard.heads.length > heads)
    expect(beside).toMatchObject({ status: 'enabled' })
    expect(guard.heads).not.toContainEqual(beside)
  })

  it("E7: events about another's stream are passed over", async () => {
    const loop = createLoop({ limits: { hold: 0.02 } })
    const guard = guardOf(loop)
    await until(() => guard.heads.length > 0)
    const sets = {
      c1: await control(EVENT.streamUpdated, 'another', { status: 'disabled' }, 'c1'),
      c2: await control(EVENT.verification, 'another', { state: 'x' }, 'c2'),
    }
    let once = true
    loop.alter = answering(
      isPoll,
      (body) => {
        once = false
        return { ...body, sets }
      },
      () => once,
    )
    await until(() => guard.follower.status().counts.ignored === 2)
    const heads = guard.heads.length
    await until(() => guard.heads.length > heads)
    expect(guard.reasons).toEqual([])
  })
})
