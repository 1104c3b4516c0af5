import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose'
import type { z } from 'zod'
import { deviceKey } from '../directory/devices.ts'
import type { Store } from '../store/store.ts'
import { createAdapter } from './adapter.ts'
import { currentAttempt } from './attempt.ts'
import { readDevice } from './facts.ts'
import type { Tenant } from './tenant.ts'

/** Seconds that a device may say its word is good for, and by which its clock may be ahead. */
const MAX_LIFE = 300
const MAX_AHEAD = 60
const MAX_LENGTH = 4096
/** The uses of each word are remembered until it has expired. */
const REPLAY = 'DeviceProof'

/**
 * Lets a device prove itself (`device_assertion`, an extension of ours, made like the assertions of RFC 7523): a JWT that it signed with its registered key for this
 * issuer alone, good for five minutes and once. What the attempt gives out then belongs to the device. Why a proof fails is noted, for whoever answers.
 */
export async function admitDevice(store: Store, tenant: Tenant, text: string): Promise<void> {
  const attempt = currentAttempt()
  const now = Math.floor(store.clock())
  const id = text.length > MAX_LENGTH ? undefined : issuerOf(text)
  if (id === undefined) {
    attempt.deviceRefused = 'device-unproved'
    return
  }
  const { key, ended } = await readDevice(store, tenant, id)
  const proof = key && (await verify(text, key as JWK, id, tenant.issuer, now))
  // Whether a device is disabled is told to who has its key.
  if (!proof || !(await isFirst(store, tenant, `${id} ${proof.jti}`, proof.exp - now))) {
    attempt.deviceRefused = key ? 'device-unproved' : 'device-missing'
  } else if (ended) attempt.deviceRefused = ended
  else Object.assign(attempt, { device: id, deviceSettled: true })
}

/**
 * A key that somebody has just made, in a JWT that it signed for one page of ours (`nonce`). The device is named after its key (RFC 7638), so that whoever holds the
 * one knows the other. @returns `undefined` for anything else
 */
export async function readNewKey(
  text: string,
  { audience, nonce, now }: { audience: string; nonce: string; now: number },
): Promise<{ id: string; publicKey: z.infer<typeof deviceKey> } | undefined> {
  if (text.length > MAX_LENGTH) return undefined
  try {
    const publicKey = deviceKey.parse(decodeProtectedHeader(text).jwk)
    const { payload } = await jwtVerify(text, await importJWK(publicKey, 'ES256'), {
      ...{ audience, typ: 'device-key+jwt', algorithms: ['ES256'], currentDate: new Date(now * 1000), requiredClaims: ['nonce', 'exp'] },
    })
    return payload.nonce === nonce ? { id: `browser-${await calculateJwkThumbprint(publicKey)}`, publicKey } : undefined
  } catch {
    return undefined
  }
}

function issuerOf(text: string): string | undefined {
  try {
    const { iss }: { iss?: unknown } = decodeJwt(text)
    return typeof iss === 'string' ? iss : undefined
  } catch {
    return undefined
  }
}

async function verify(text: string, key: JWK, id: string, audience: string, now: number): Promise<{ jti: string; exp: number } | undefined> {
  try {
    const { payload } = await jwtVerify(text, await importJWK(key, 'ES256'), {
      ...{ issuer: id, subject: id, audience, typ: 'device+jwt', algorithms: ['ES256'], currentDate: new Date(now * 1000) },
      requiredClaims: ['iat', 'exp', 'jti'],
    })
    const { iat, exp, jti, aud } = payload as { iat: number; exp: number; jti: unknown; aud: unknown }
    // For us alone: what somebody else accepts too could be shown here by them.
    if (aud !== audience || typeof jti !== 'string' || jti === '' || jti.length > 256) return undefined
    return exp - iat <= MAX_LIFE && iat <= now + MAX_AHEAD ? { jti, exp } : undefined
  } catch {
    return undefined
  }
}

/** The note of an unknown proof makes the fence decide again where two requests show the same one at a time. */
async function isFirst(store: Store, tenant: Tenant, id: string, seconds: number): Promise<boolean> {
  const proofs = createAdapter(store, tenant.id, tenant.artifacts)(REPLAY)
  if (await proofs.find(id)) return false
  await proofs.upsert(id, {}, Math.ceil(seconds) + 1)
  return true
}
