import type { DeviceSignal, ProofSignal, Signals } from '@caegis/policy'

export type Platform = NonNullable<Signals['platform']>

/** What a sign-in, or the request for a token, brought along. It is kept with the decision, so that an edit can be looked at by the same facts. */
export interface Brought {
  application?: string
  action?: string
  contexts: readonly string[]
  /** As this server saw it; empty when unknown. */
  address: string
  /** `undefined` = nobody can look it up. */
  country?: string | null
  /** As the API saw it, proved by the API's evidence. */
  seen?: { address: string; country?: string | null }
  platform?: Platform
  clientAppType?: NonNullable<Signals['clientAppType']>
  flow?: NonNullable<Signals['flow']>
  /** Of the sign-in that it came of, as it was measured then; absent = nobody could tell. */
  signInRisk?: NonNullable<Signals['signInRisk']>
  proof?: ProofSignal
}

/** What the directory says of who asks, now. */
export interface Standing {
  user?: NonNullable<Signals['user']> & { risk: NonNullable<Signals['userRisk']>; passwordChanged: boolean }
  servicePrincipal?: NonNullable<Signals['servicePrincipal']>
  /** `null` = it comes from no device that is registered. */
  device: DeviceSignal | null
}

/** Everything that policies look at, from the one address that this server saw. */
export function toSignals(brought: Brought, { user, servicePrincipal, device }: Standing, now: number): Signals {
  const { seen: _, proof, ...same } = brought
  return {
    ...same,
    now,
    device,
    ...(user ? { user: { id: user.id, groups: user.groups, roles: user.roles, ...(user.guest ? { guest: user.guest } : {}) } } : {}),
    ...(user ? { userRisk: user.risk } : {}),
    ...(servicePrincipal ? { servicePrincipal } : {}),
    ...(proof ? { proof: { ...proof, ...(user ? { passwordChanged: user.passwordChanged } : {}) } } : {}),
  }
}

/** In the order in which they must be looked for: Android says Linux too, and an iPad may say Macintosh. */
const PLATFORMS: readonly (readonly [RegExp, Platform])[] = [
  [/Windows Phone/i, 'windowsPhone'],
  [/Android/i, 'android'],
  [/iPhone|iPad|iPod/i, 'iOS'],
  [/Windows|Win32|Win64/i, 'windows'],
  [/Macintosh|Mac OS X|darwin/i, 'macOS'],
  [/Linux|X11|CrOS/i, 'linux'],
]

/** What a client says that it runs on. Its own word, and no proof. @returns `undefined` when it says nothing that is known */
export function platformOf(text: string | undefined): Platform | undefined {
  const said = (text ?? '').slice(0, 1024)
  return PLATFORMS.find(([pattern]) => pattern.test(said))?.[1]
}

/** RFC 8176 names of how somebody proved it, as Graph's authentication strengths name them. */
const METHODS: Record<string, string> = { pwd: 'password', otp: 'softwareOath', fido: 'fido2' }

/** @param at seconds: when the first factor was proved */
export function proofOf(at: number, amr: readonly string[]): ProofSignal {
  return { at, mfa: amr.includes('mfa'), methods: amr.flatMap((one) => METHODS[one] ?? []) }
}
