import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { createSecureContext, type Server as TlsServer } from 'node:tls'
import { CaegisError } from '@caegis/protocol'
import type { Log } from '../log.ts'
import type { Settings } from '../settings.ts'

type Files = Extract<Settings['tls'], { kind: 'files' }>
export interface Pair {
  cert: string
  key: string
}

/** A certificate and its key, as they stand in their files. @throws CaegisError `invalid_settings` where they are none, or do not belong together */
export function readPair({ cert, key }: Pick<Files, 'cert' | 'key'>): Pair {
  try {
    const pair = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
    createSecureContext(pair)
    return pair
  } catch (cause) {
    throw new CaegisError('invalid_settings', 'CAEGIS_TLS_CERT and CAEGIS_TLS_KEY must name a certificate and the key that belongs to it.', { cause })
  }
}

/** Milliseconds between two looks at the files. */
const LOOK_EVERY = 10_000

export interface Certificate {
  /** From now on these files are the ones. */
  use(files: Files, pair: Pair): void
  close(): void
}

/**
 * New connections get the certificate that lies in the files now: whoever renews it does so without telling us. Two files are never written at once, so a pair that does
 * not fit is said, and the one before stays until it does.
 */
export function followCertificate(server: TlsServer, first: Files, log: Log): Certificate {
  let files = first
  const look = () => {
    try {
      server.setSecureContext(readPair(files))
      log.info('the certificate was read again')
    } catch (error) {
      log.error('the certificate was changed and cannot be used: the former one stays in force', { message: (error as Error).message })
    }
  }
  const watch = () => {
    for (const one of [files.cert, files.key]) watchFile(one, { interval: LOOK_EVERY, persistent: false }, look)
  }
  const unwatch = () => {
    for (const one of [files.cert, files.key]) unwatchFile(one, look)
  }
  watch()
  return {
    use(next, pair) {
      unwatch()
      files = next
      server.setSecureContext(pair)
      watch()
    },
    close: unwatch,
  }
}
