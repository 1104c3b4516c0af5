import { challengeObject } from '@caegis/protocol'
import { vi } from 'vitest'
import { type ClaimsChallengeOptions, type TokenQuestion, withClaimsChallenge } from '../src/index.ts'
import { NBF } from './api.ts'

export const CLAIMS = JSON.stringify(challengeObject({ nbf: NBF }))

/** A sign-in library that has a dead token in its cache and a good one at the issuer. */
export function fakeToken() {
  return vi.fn(async ({ claims }: TokenQuestion) => (claims ? 'good' : 'dead'))
}

export function setup(origins: string[], more: Partial<ClaimsChallengeOptions> = {}) {
  const token = fakeToken()
  const sent = vi.fn(fetch)
  const api = withClaimsChallenge(sent, { origins, token, now: () => (NBF + 1) * 1000, ...more })
  return { api, token, sent }
}
