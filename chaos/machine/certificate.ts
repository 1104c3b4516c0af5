import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { localTls } from '@caegis/server'
import { trustLocalCa } from '../../packages/cli/src/trust.ts'
import type { Trial } from '../machine.ts'
import { recovered, startHost, until } from './host.ts'

const DAY = 24 * 3600 * 1000

/** The files of the certificate are replaced by one that has ended, and then by a good one; nobody tells the server. */
export const certificate: Trial = async () => {
  const faults: string[] = []
  const host = await startHost({
    async flags(data) {
      await localTls(data, Date.now())
      trustLocalCa(data)
      return ['--tls-cert', join(data, 'tls', 'cert.pem'), '--tls-key', join(data, 'tls', 'key.pem')]
    },
  })
  try {
    const { token } = await host.token()
    // By a clock of then; the authority is the same, and lives for ten years.
    await renew(host.data, Date.now() - 500 * DAY)
    const seen = await until(
      async () => (await host.token()).status,
      (status) => status !== 200,
    )
    if (seen !== 'CERT_HAS_EXPIRED') faults.push(`a client sees ${seen}, not CERT_HAS_EXPIRED`)
    // Whoever has a connection keeps it. Who begins now knows nothing, and lets nobody in.
    const late = host.follow()
    const blind = await host.check(token, late)
    if (blind !== 503) faults.push(`a guard that cannot ask answers ${blind}, not 503`)
    await renew(host.data, Date.now())
    await recovered(host, faults)
    const seeing = await until(
      () => host.check(token, late),
      (answer) => answer === true,
    )
    if (seeing !== true) faults.push(`a guard that began meanwhile answers ${seeing} when it is over`)
    await late.close()
  } finally {
    await host.close()
  }
  return faults
}

async function renew(data: string, now: number): Promise<void> {
  rmSync(join(data, 'tls', 'cert.pem'))
  await localTls(data, now)
}
