import type { Cutoff } from '@caegis/protocol'
import type { Discovery } from './discovery.ts'
import { createFollowSource } from './follow-source.ts'
import { createForeignSource } from './foreign-source.ts'
import type { GuardSettings } from './options.ts'
import { createPlainSource } from './plain-source.ts'
import type { Source } from './source.ts'

/** Where an issuer's cutoffs come from: what was handed in, nothing, a transmitter of somebody else, or (by default) the issuer's own stream. */
export function openSource(settings: GuardSettings, discovery: Discovery, keep: (cutoffs: readonly Cutoff[]) => void): Source {
  const { source, events, issuer, fetch, now, log, horizon, maxStaleness, country, fleet } = settings
  if (source) return source
  if (events === 'none') return createPlainSource()
  if (events) return createForeignSource({ issuer, events, fetch, now, log, horizon, keep })
  return createFollowSource({
    ...(settings.credentials as { clientId: string; clientSecret: string }),
    ...{ issuer, discovery, fetch, now, log, horizon, evaluates: country ? ['ip', 'country'] : ['ip'] },
    // Two answers may be lost before knowledge is called stale.
    waitSeconds: Math.min(10, maxStaleness / 3),
    ...(fleet && { fleet: { channel: fleet.open(issuer, log), quiet: Math.min(3, maxStaleness / 2) } }),
  })
}
