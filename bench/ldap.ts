import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readLdapConfig } from '@caegis/server'
import { applyTenantFile } from '../packages/server/src/directory/apply.ts'
import { createDirectory } from '../packages/server/src/directory/directory.ts'
import { parseTenantFile } from '../packages/server/src/directory/tenant-file.ts'
import { connectLdap } from '../packages/server/src/ldap/connection.ts'
import { wantedAttributes } from '../packages/server/src/ldap/person.ts'
import { createSync } from '../packages/server/src/ldap/sync.ts'
import { createSecrets } from '../packages/server/src/store/secrets.ts'
import { createStore } from '../packages/server/src/store/store.ts'
import { dnOf, hasSlapd, ldif, MANAGER, MANAGER_PASSWORD, PEOPLE, startSlapd } from '../test/slapd.ts'
import type { Figure } from './figure.ts'

const ENTRIES = 10_000
const ISSUER = 'https://id.example/contoso/v2.0'
const SECRET = 'a-secret-that-is-long-enough-for-a-bench'

/** A real slapd over TLS whose people come into an embedded database, beside the same entries only being read. */
export async function ldap(emit: (figure: Figure) => void): Promise<void> {
  if (!hasSlapd()) return
  const say = (name: string, value: number, unit: string, rest: Partial<Figure> = {}) => emit({ suite: 'directory', name, value, unit, ...rest })
  const data = mkdtempSync(join(tmpdir(), 'caegis-bench-'))
  const slapd = await startSlapd(Array.from({ length: ENTRIES }, (_, index) => ldif(`user${index}`)).join(''))
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  /** Milliseconds by which the clock is ahead. */
  let ahead = 0
  const store = await createStore({ file: join(data, 'caegis.db'), now: () => Date.now() + ahead, log })
  const secrets = createSecrets(SECRET)
  const tenant = await applyTenantFile(store, secrets, parseTenantFile(JSON.stringify({ tenant: { name: 'contoso' } })), () => ISSUER)
  const config = readLdapConfig(undefined, {
    ...{ tenant: 'contoso', name: 'bench', url: slapd.secure, caFile: slapd.caFile, bindDn: MANAGER, baseDn: PEOPLE, domain: 'contoso.test' },
  })
  const home = { id: tenant, issuer: ISSUER, directory: createDirectory(store, tenant, ISSUER) }
  const sync = createSync({ config, password: MANAGER_PASSWORD, store, secrets, tenant: home, log })
  const timed = async (work: () => Promise<unknown>) => {
    const start = performance.now()
    await work()
    return performance.now() - start
  }
  try {
    const bare = await timed(async () => {
      const connection = await connectLdap(config, MANAGER_PASSWORD)
      let read = 0
      for await (const page of connection.search({ base: PEOPLE, filter: config.filter, attributes: wantedAttributes(config) })) read += page.length
      connection.close()
      if (read !== ENTRIES) throw new Error(`${read} entries were read`)
    })
    const named = ENTRIES.toLocaleString('en')
    const first = await timed(async () => {
      const { created } = await sync.pass()
      if (created !== ENTRIES) throw new Error(`${created} people came`)
    })
    say(`first load of ${named} entries`, first / 1000, 's', { peer: 'only reading them', ratio: first / bare })
    say('people a second', ENTRIES / (first / 1000), '/s')
    const again = await timed(() => sync.pass({ full: true }))
    say('everything read again, nothing changed', again / 1000, 's', { peer: 'only reading them', ratio: again / bare })
    // What was loaded within the last half minute would be read along.
    ahead += 120_000
    await sync.pass()
    await slapd.set(dnOf('user7'), 'pwdAccountLockedTime', '000001010000Z')
    const one = await timed(async () => {
      const { disabled, read } = await sync.pass()
      if (disabled !== 1 || read !== 1) throw new Error(`${disabled} of ${read} were disabled`)
    })
    say('one disabled, found by what has changed', one, 'ms')
  } finally {
    await store.close()
    await slapd.close()
    rmSync(data, { recursive: true, force: true })
  }
}
