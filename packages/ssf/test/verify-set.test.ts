import { type CaegisError, EVENT } from '@caegis/protocol'
import { SignJWT } from 'jose'
import { describe, expect, it } from 'vitest'
import { createSetVerifier, discover } from '../src/receiver/index.ts'
import { AUDIENCE, es256, ISSUER, type Key, makeKey, rs256 } from './loop.ts'

const NOW = 1_700_000_000
const good = () => ({
  iss: ISSUER,
  jti: 'set-1',
  iat: NOW,
  aud: AUDIENCE,
  sub_id: { format: 'iss_sub', iss: ISSUER, sub: 'alice' },
  events: { [EVENT.sessionRevoked]: {} },
})
const sign = (payload: Record<string, unknown>, header: Record<string, unknown> = {}, key: Key = es256) =>
  new SignJWT(payload)
    .setProtectedHeader({ alg: key.jwk.alg as string, typ: 'secevent+jwt', kid: key.jwk.kid as string, ...header })
    .sign(key.private)

function createVerifier(options: { jwks?: () => unknown; refetchAfter?: number; now?: () => number } = {}) {
  const counted = { fetches: 0 }
  const verify = createSetVerifier({
    issuer: ISSUER,
    audience: [AUDIENCE],
    jwksUri: 'https://host.test/keys',
    now: options.now ?? (() => NOW * 1000),
    refetchAfter: options.refetchAfter ?? 0,
    fetch: (async () => {
      counted.fetches++
      return Response.json(options.jwks?.() ?? { keys: [es256.jwk, rs256.jwk] })
    }) as typeof fetch,
  })
  return { verify, counted }
}

const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (error: CaegisError) => `${error.code}: ${String(error.detail)}`,
  )

describe('a SET', () => {
  it('is accepted under ES256 and RS256', async () => {
    const { verify, counted } = createVerifier()
    for (const key of [es256, rs256])
      expect(await verify(await sign(good(), {}, key))).toMatchObject({ jti: 'set-1', iss: ISSUER, type: EVENT.sessionRevoked })
    expect(counted.fetches).toBe(1)
  })

  it('is refused for each thing that is wrong with it', async () => {
    const { verify } = createVerifier()
    const other = await makeKey('ES256', 'es-1')
    const cases: [string, unknown][] = [
      ['typ', await sign(good(), { typ: 'at+jwt' })],
      ['typ', await sign(good(), { typ: 'application/secevent+jwt' })],
      ['alg', `${Buffer.from('{"alg":"none","typ":"secevent+jwt"}').toString('base64url')}.e30.`],
      ['alg', await new SignJWT(good()).setProtectedHeader({ alg: 'HS256', typ: 'secevent+jwt' }).sign(new Uint8Array(32))],
      ['no key', await sign(good(), {}, other)],
      ['no key', await sign(good(), { kid: 'strange' })],
      ['iss', await sign({ ...good(), iss: 'https://evil.test' })],
      ['aud', await sign({ ...good(), aud: ['api://other'] })],
      ['sub or exp', await sign({ ...good(), sub: 'alice' })],
      ['sub or exp', await sign({ ...good(), exp: NOW + 60 })],
      ['iat', await sign({ ...good(), iat: undefined as unknown as number })],
      ['not exactly one event', await sign({ ...good(), events: {} })],
      ['JWS', 'nonsense'],
      ['JWS', { toString: () => 'x' }],
      ['size', `${await sign(good())}${'x'.repeat(70_000)}`],
    ]
    for (const [why, jwt] of cases) expect(await refusal(verify(jwt))).toContain(why)
    expect((await refusal(verify('nonsense'))).startsWith('set_refused')).toBe(true)
  })

  it('A6: is refused when it is dated more than a minute ahead, or in milliseconds', async () => {
    const { verify } = createVerifier()
    expect(await refusal(verify(await sign({ ...good(), iat: NOW + 60 })))).toBe('accepted')
    expect(await refusal(verify(await sign({ ...good(), iat: NOW + 61 })))).toContain('future')
    expect(await refusal(verify(await sign({ ...good(), iat: NOW * 1000 })))).toContain('future')
  })

  it('B6: under a new key it costs one fetch; under unknown ones, the budget and no more', async () => {
    let keys = [es256.jwk]
    let clock = NOW * 1000
    const { verify, counted } = createVerifier({ jwks: () => ({ keys }), refetchAfter: 1000, now: () => clock })
    await verify(await sign(good()))
    const rotated = await makeKey('ES256', 'es-2')
    keys = [rotated.jwk]
    clock += 1000
    expect(await verify(await sign(good(), {}, rotated))).toMatchObject({ jti: 'set-1' })
    expect(counted.fetches).toBe(2)
    for (let i = 0; i < 10; i++) expect(await refusal(verify(await sign(good(), { kid: `strange-${i}` })))).toContain('no key')
    expect(counted.fetches).toBe(2)
    clock += 1000
    await refusal(verify(await sign(good(), { kid: 'strange' })))
    expect(counted.fetches).toBe(3)
    // A removed key goes, too.
    clock += 601_000
    expect(await refusal(verify(await sign(good())))).toContain('no key')
  })

  it('is neither accepted nor refused while the keys cannot be had', async () => {
    const { verify } = createVerifier({ jwks: () => ({ keys: 'none' }) })
    expect(await refusal(verify(await sign(good())))).toContain('answer_malformed')
  })
})

describe('discover', () => {
  const ok = { issuer: ISSUER, jwks_uri: 'https://host.test/keys', configuration_endpoint: 'https://host.test/streams' }
  const found = (body: unknown, status = 200) =>
    discover({
      issuer: ISSUER,
      fetch: (async () => new Response(typeof body === 'string' ? body : JSON.stringify(body), { status })) as unknown as typeof fetch,
    })

  it('uses nothing of metadata that is not right', async () => {
    expect(await found(ok)).toMatchObject({ issuer: ISSUER, configurationEndpoint: ok.configuration_endpoint, deliveryMethods: [] })
    for (const [body, code] of [
      [{ ...ok, issuer: `${ISSUER}/` }, 'metadata_refused'],
      [{ ...ok, jwks_uri: 'http://host.test/keys' }, 'metadata_refused'],
      [{ ...ok, jwks_uri: undefined }, 'metadata_refused'],
      [{ ...ok, caegis_snapshot_endpoint: 'file:///etc/passwd' }, 'metadata_refused'],
      [[], 'metadata_refused'],
      ['<html>', 'answer_malformed'],
      [JSON.stringify({ ...ok, pad: 'x'.repeat(100_000) }), 'answer_too_large'],
    ] as const) {
      await expect(found(body)).rejects.toMatchObject({ code })
    }
    await expect(found('', 404)).rejects.toMatchObject({ code: 'metadata_refused' })
    await expect(found('', 503)).rejects.toMatchObject({ code: 'unavailable' })
  })
})
