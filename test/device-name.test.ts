import { randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDevices } from '../packages/server/src/directory/devices.ts'
import { createFlow } from './flow.ts'
import { claimsOf, type Loop, startLoop } from './loop.ts'
import { grant, policy, setPolicies } from './policies-of.ts'

let loop: Loop
beforeAll(async () => {
  loop = await startLoop()
})
afterAll(() => loop?.close())

it('D8: what its user calls it lets a device in nowhere: a policy that looks at names knows none of it', async () => {
  const { db } = loop.server.store
  const user = (await db.selectFrom('users').select('id').where('upn', '=', 'alice@contoso.test').executeTakeFirstOrThrow()).id
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const { kty, crv, x, y } = await exportJWK(publicKey)
  const jwk = { kty: 'EC', crv: 'P-256', x: String(x), y: String(y) } as const
  expect([kty, crv]).toEqual([jwk.kty, jwk.crv])
  const id = `browser-${await calculateJwkThumbprint(jwk)}`
  const now = () => Math.floor(Date.now() / 1000)
  const owner = { kind: 'holder', user, proof: { at: now() + 1 } } as const
  const devices = createDevices(loop.server.store, loop.tenant)
  await devices.register(owner, { id, publicKey: jwk, displayName: 'CORP-1', from: '127.0.0.1' })
  const proof = () =>
    new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', typ: 'device+jwt' })
      .setIssuer(id)
      .setSubject(id)
      .setAudience(loop.issuer)
      .setIssuedAt(now())
      .setExpirationTime(now() + 120)
      .setJti(randomUUID())
      .sign(privateKey)
  const signsIn = async () =>
    createFlow(loop, { more: { device_assertion: await proof() } })
      .tokens({ device_assertion: await proof() })
      .then(
        ({ accessToken }) => claimsOf(accessToken).deviceid,
        () => 'refused',
      )
  expect(await signsIn()).toBe(id)
  const filter = (mode: string) => ({ devices: { deviceFilter: { mode, rule: 'device.displayName -startsWith "CORP-"' } } })
  await setPolicies(loop, [policy('Other devices', { conditions: filter('exclude'), ...grant('block') })])
  expect(await signsIn()).toBe('refused')
  await devices.update(owner, id, { displayName: 'CORP-2' })
  expect(await signsIn()).toBe('refused')
  // Named by who administers it.
  await db.updateTable('devices').set({ registered_from: null }).where('id', '=', id).execute()
  expect(await signsIn()).toBe(id)
  await setPolicies(loop, [])
})
