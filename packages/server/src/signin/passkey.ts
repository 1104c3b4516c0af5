import { randomBytes } from 'node:crypto'
import { verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server'
import { z } from 'zod'
import type { Factor, Factors, Passkey } from '../directory/factors.ts'
import { createAdapter } from '../issuer/adapter.ts'
import type { Tenant } from '../issuer/tenant.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

/** What a page hands to the browser, and to itself: the challenge comes back sealed together with what it was made for. */
export interface Ceremony {
  options: string
  sealed: string
}

/** Seconds: as long as the page of a sign-in is good. */
const CHALLENGE_TTL = 3600
const TEN_YEARS = 10 * 365 * 24 * 3600
/** COSE: ES256, EdDSA, RS256. */
const ALGORITHMS = [-7, -8, -257]
const TIMEOUT_MS = 300_000
const MAX_RESPONSE = 16_384

const bytes = z
  .string()
  .max(8192)
  .regex(/^[\w-]+$/)
const frame = { id: bytes, rawId: bytes, type: z.literal('public-key'), authenticatorAttachment: z.enum(['platform', 'cross-platform']).nullish() }
const assertionSchema = z.object({
  ...frame,
  response: z.object({ clientDataJSON: bytes, authenticatorData: bytes, signature: bytes, userHandle: bytes.nullish() }),
})
const attestationSchema = z.object({
  ...frame,
  response: z.object({ clientDataJSON: bytes, attestationObject: bytes, transports: z.array(z.string().max(32)).max(16).optional() }),
})
const sealedSchema = z.strictObject({ challenge: z.string(), until: z.number() })

/** Passkeys (WebAuthn level 3) of one tenant. What is proved is bound to this origin, to the page that asked, and is good once. */
export function createPasskeys(store: Store, secrets: Secrets, tenant: Tenant) {
  const { origin, hostname } = new URL(tenant.issuer)
  const context = (about: string) => `passkey:${tenant.id}:${about}`

  function begin(about: string): { challenge: string; sealed: string } {
    const challenge = randomBytes(32).toString('base64url')
    const sealed = secrets.seal(context(about), { challenge, until: Math.floor(store.clock()) + CHALLENGE_TTL })
    return { challenge, sealed: Buffer.from(sealed).toString('base64url') }
  }

  /** The challenge that was made for this page, if it is young and nobody used it; now it is used. Inside an attempt. */
  async function spend(about: string, sealed: string): Promise<string | undefined> {
    try {
      const { challenge, until } = sealedSchema.parse(secrets.open(context(about), Buffer.from(sealed, 'base64url')))
      const spent = createAdapter(store, tenant.id, tenant.artifacts)('SpentChallenge')
      if (until <= store.clock() || (await spent.find(challenge))) return undefined
      await spent.upsert(challenge, {}, CHALLENGE_TTL)
      return challenge
    } catch {
      return undefined
    }
  }

  const expected = (challenge: string) => ({
    ...{ expectedChallenge: challenge, expectedOrigin: origin, expectedRPID: hostname, requireUserVerification: true },
  })

  return {
    spend,

    /** @param about what the answer is bound to: the sign-in. @param known of the user who is asked for a second factor; any passkey may be the first. */
    ask(about: string, known: readonly Factor[] = []): Ceremony {
      const { challenge, sealed } = begin(about)
      const allowCredentials = known.flatMap((one) =>
        one.kind === 'passkey' ? [{ type: 'public-key', id: one.credentialId, transports: one.transports }] : [],
      )
      const options = { challenge, rpId: hostname, userVerification: 'required', timeout: TIMEOUT_MS, allowCredentials }
      return { options: JSON.stringify(options), sealed }
    },

    offer(about: string, user: { id: string; username: string; displayName: string }, known: readonly Factor[]): Ceremony {
      const { challenge, sealed } = begin(about)
      const options = {
        ...{ challenge, timeout: TIMEOUT_MS, attestation: 'none', rp: { id: hostname, name: tenant.displayName } },
        user: { id: Buffer.from(user.id).toString('base64url'), name: user.username, displayName: user.displayName },
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
        authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
        excludeCredentials: known.flatMap((one) => (one.kind === 'passkey' ? [{ type: 'public-key', id: one.credentialId }] : [])),
      }
      return { options: JSON.stringify(options), sealed }
    },

    /** @param challenge as {@link spend} gave it */
    async register(challenge: string, given: string): Promise<Passkey | undefined> {
      const response = parse(attestationSchema, given)
      if (!response) return undefined
      try {
        const { verified, registrationInfo } = await verifyRegistrationResponse({
          ...expected(challenge),
          response: { ...response, clientExtensionResults: {} } as never,
          supportedAlgorithmIDs: ALGORITHMS,
        })
        if (!verified) return undefined
        const { id, publicKey, counter } = registrationInfo.credential
        const attachment = response.authenticatorAttachment ?? 'cross-platform'
        const transports = response.response.transports ?? []
        return { credentialId: id, publicKey: Buffer.from(publicKey).toString('base64url'), counter, attachment, transports }
      } catch {
        return undefined
      }
    },

    /** Whose passkey this claims to be: the id that was given to it. Proves nothing yet. */
    claimant(given: string): string | undefined {
      const handle = parse(assertionSchema, given)?.response.userHandle
      return handle == null ? undefined : Buffer.from(handle, 'base64url').toString('utf8').slice(0, 64)
    },

    /** Inside an attempt that has noted the user. @returns the id of the passkey that was proved */
    async prove(factors: Factors, user: string, about: string, sealed: string, given: string): Promise<string | undefined> {
      const response = parse(assertionSchema, given)
      const challenge = await spend(about, sealed)
      if (!response || challenge === undefined) return undefined
      const known = (await factors.list(user)).find((one) => one.kind === 'passkey' && one.credentialId === response.id)
      if (known?.kind !== 'passkey') return undefined
      // A counter that does not grow is the sign of a copy; written with the rest of the attempt, so that of two at once one is decided again.
      const counters = createAdapter(store, tenant.id, tenant.artifacts)('PasskeyCounter')
      const last = (await counters.find(known.id)) as { counter?: number } | undefined
      try {
        const { verified, authenticationInfo } = await verifyAuthenticationResponse({
          ...expected(challenge),
          response: { ...response, clientExtensionResults: {} } as never,
          credential: { id: known.credentialId, publicKey: Buffer.from(known.publicKey, 'base64url'), counter: last?.counter ?? known.counter },
        })
        if (!verified) return undefined
        await counters.upsert(known.id, { counter: authenticationInfo.newCounter } as never, TEN_YEARS)
        return known.id
      } catch {
        return undefined
      }
    },
  }
}

function parse<T>(schema: z.ZodType<T>, given: string): T | undefined {
  if (given.length > MAX_RESPONSE) return undefined
  try {
    return schema.parse(JSON.parse(given))
  } catch {
    return undefined
  }
}
