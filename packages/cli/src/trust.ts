import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'

/** Trusts the local certificate authority of a data folder, in this process only. */
export function trustLocalCa(data: string): void {
  const file = join(data, 'tls', 'ca.pem')
  if (existsSync(file)) tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(file, 'utf8')])
}
