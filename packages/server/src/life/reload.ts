import { isDeepStrictEqual } from 'node:util'
import type { Addresses } from '../addresses.ts'
import type { Log, LogLevel } from '../log.ts'
import type { Settings } from '../settings.ts'
import { type Certificate, readPair } from './certificate.ts'

/** What may change while the server runs; rooms that go by it look at it each time. Everything else stands in tokens, in files or in connections that are open. */
const RELOADABLE = ['trustedProxies', 'dialAllow', 'logLevel', 'tls'] as const

export interface ReloadOptions {
  /** What holds, and is changed. */
  settings: Settings
  addresses: Addresses
  certificate: Certificate | undefined
  log: Log & { setLevel?(level: LogLevel): void }
}

/**
 * Puts other settings in force, all of them or none.
 * @throws CaegisError `invalid_settings`, `invalid_range`: then everything is as it was
 */
export function reload({ settings, addresses, certificate, log }: ReloadOptions, next: Settings): void {
  const { tls } = next
  // What may fail comes first.
  const pair = certificate && tls.kind === 'files' ? readPair(tls) : undefined
  addresses.replace(next.trustedProxies)
  if (certificate && pair && tls.kind === 'files') certificate.use(tls, pair)
  const others = (Object.keys({ ...settings, ...next }) as (keyof Settings)[]).filter((name) => {
    const fits = name === 'tls' ? settings.tls.kind === tls.kind : (RELOADABLE as readonly string[]).includes(name)
    return !fits && !isDeepStrictEqual(settings[name], next[name])
  })
  for (const name of RELOADABLE) if (name !== 'tls' || tls.kind === settings.tls.kind) Object.assign(settings, { [name]: next[name] })
  log.setLevel?.(next.logLevel)
  log.info('the settings were read again', { reloaded: RELOADABLE })
  if (others.length > 0) log.warn('some settings hold from the next start on only', { settings: others })
}
