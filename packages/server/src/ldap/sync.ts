import { CaegisError } from '@caegis/protocol'
import { AndFilter, PresenceFilter } from 'ldapts'
import type { Directory } from '../directory/directory.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import type { LdapConfig } from './config.ts'
import { connectLdap, type LdapConnection } from './connection.ts'
import { createPeople, type Tally } from './people.ts'
import { type Person, toPerson, wantedAttributes } from './person.ts'
import { afterStamps, changedSince, type Position } from './position.ts'

export interface SyncOptions {
  config: LdapConfig
  /** Of `bindDn`. */
  password?: string
  store: Store
  secrets: Pick<Secrets, 'digest'>
  tenant: { id: string; issuer: string; directory: Pick<Directory, 'sayingWhich'> }
  log: Log
  connect?: typeof connectLdap
}

export interface PassOptions {
  /** Reads all entries even when changes would do. */
  full?: boolean
  /** People may vanish in any number. */
  allowMassRemoval?: boolean
  /** Ends the pass with its connection. */
  signal?: AbortSignal
  /** Told how many entries are read, page by page. */
  onRead?(entries: number): void
}

/** What one pass has read and done. */
export interface Report extends Tally {
  full: boolean
  read: number
  /** Entries that cannot be anybody: without id or name, or with one that somebody else has. */
  unfit: number
}

/** What is kept between passes. */
interface State extends Position {
  /** What the last full reading asked for: another filter needs another one. */
  asked: string
  /** Second of the end of the last full reading. */
  fullAt: number
}

/** So many may be gone at once, or this share of all, before somebody has to look. */
const FEW = 10
const SHARE = 0.2

/**
 * Reads an LDAP directory and makes the tenant's users what it says: everything the first time and every now and then, in between only what has changed. What a pass that breaks off
 * has committed stays, page by page; the next one reads the pages again (LDAP knows no other way: a cookie ends with its connection) and goes on with who is missing.
 */
export function createSync({ config, password, store, secrets, tenant, log, connect = connectLdap }: SyncOptions) {
  const { source, kind } = config
  const people = createPeople({ store, source, tenant: tenant.id, issuer: tenant.issuer, directory: tenant.directory })
  const reading = { ...config, digest: (value: string) => secrets.digest(`ldap ${source}`, value) }
  const attributes = wantedAttributes(config)
  const asked = secrets.digest('ldap search', JSON.stringify([config.baseDn, config.filterText, config.attributes, config.disabled, config.domain]))

  const load = async (): Promise<State | undefined> => {
    const row = await store.db
      .selectFrom('ldap_sources')
      .select('state')
      .where('tenant', '=', tenant.id)
      .where('source', '=', source)
      .executeTakeFirst()
    return row && JSON.parse(row.state)
  }
  const keep = async (state: State, before: State | undefined) => {
    const text = JSON.stringify(state)
    if (text === JSON.stringify(before)) return
    await store.db
      .insertInto('ldap_sources')
      .values({ tenant: tenant.id, source, state: text })
      .onConflict((conflict) => conflict.columns(['tenant', 'source']).doUpdateSet({ state: text }))
      .execute()
  }

  async function run(connection: LdapConnection, { full: wanted = false, allowMassRemoval = false, onRead }: PassOptions): Promise<Report> {
    const before = await load()
    const began = store.clock()
    // The position is read before the content: what changes meanwhile is read by the next pass.
    const head = kind === 'active-directory' ? await headOf(connection) : undefined
    const known = before?.asked === asked && (head === undefined || before.server === head.server) ? before : undefined
    const full = wanted || allowMassRemoval || !known || began - known.fullAt >= config.fullInterval
    const report: Report = { full, read: 0, unfit: 0, created: 0, changed: 0, disabled: 0, enabled: 0, passwords: 0, conflicts: 0, deleted: 0 }
    const present = new Set<string>()
    let newest = 0

    const filter = full ? config.filter : new AndFilter({ filters: [config.filter, changedSince(kind, known)] })
    for await (const entries of connection.search({ base: config.baseDn, filter, attributes })) {
      onRead?.(report.read)
      const page: Person[] = []
      for (const entry of entries) {
        report.read++
        const person = toPerson(entry, reading, began)
        if (!person || present.has(person.externalId)) {
          report.unfit++
          log.warn('an LDAP entry has no id of its own: nobody comes of it', { source })
          continue
        }
        present.add(person.externalId)
        newest = Math.max(newest, person.changed)
        if (person.unfit !== undefined) {
          report.unfit++
          log.warn('an LDAP entry says too little, or what cannot be', { source, entry: person.externalId, reason: person.unfit })
        }
        page.push(person)
      }
      await people.save(page, kind === 'openldap' ? known?.caught : undefined, report)
    }

    const ended = store.clock()
    const position = head ? { caught: head.committed + 1, newest: 0, newestAt: 0, server: head.server } : afterStamps(known, { began, ended, newest })
    // A directory that does not say when something changed cannot be asked for changes.
    const blind = kind === 'openldap' && position.newest === 0
    await keep({ ...position, asked, fullAt: blind ? 0 : full ? Math.floor(ended) : known.fullAt }, before)
    // Last: who is there has been read, whatever is said about the others.
    if (full) await vanish(present, allowMassRemoval, report)
    return report
  }

  /** @throws CaegisError `ldap_mass_removal` */
  async function vanish(present: ReadonlySet<string>, allowMassRemoval: boolean, report: Report): Promise<void> {
    const { known, gone } = await people.missing(present)
    const touched = config.onVanish === 'delete' ? gone : gone.filter((one) => one.enabled)
    const most = Math.max(FEW, Math.floor(known * SHARE))
    // An empty answer is a slip in the filter, or a right that was lost, sooner than the end of everybody.
    if (!allowMassRemoval && touched.length > 0 && (touched.length > most || present.size === 0)) {
      throw new CaegisError('ldap_mass_removal', SERVER_ERRORS.ldap_mass_removal, { detail: { known, gone: touched.length } })
    }
    for (const one of touched) await people.vanish(one, config.onVanish, report)
  }

  return {
    source,
    /** @throws CaegisError `ldap_unreachable`, `ldap_refused`, `ldap_protocol`, `ldap_mass_removal` */
    async pass(options: PassOptions = {}): Promise<Report> {
      const connection = await connect(config, password)
      const end = () => connection.close()
      options.signal?.addEventListener('abort', end)
      try {
        options.signal?.throwIfAborted()
        return await run(connection, options)
      } finally {
        options.signal?.removeEventListener('abort', end)
        connection.close()
      }
    },
  }
}

export type Sync = ReturnType<typeof createSync>

/** Active Directory: how far this server's changes have come; the numbers are its own [MS-ADTS section 3.1.1.3.2]. */
async function headOf(connection: LdapConnection): Promise<{ committed: number; server: string }> {
  const names = ['highestCommittedUSN', 'dsServiceName']
  for await (const entries of connection.search({
    base: '',
    scope: 'base',
    filter: new PresenceFilter({ attribute: 'objectClass' }),
    attributes: names,
  })) {
    const textOf = (name: string) => entries[0]?.values.get(name.toLowerCase())?.[0]?.toString('utf8') ?? ''
    const committed = Number(textOf('highestCommittedUSN') || Number.NaN)
    const server = textOf('dsServiceName')
    if (Number.isSafeInteger(committed) && server !== '') return { committed, server }
  }
  throw new CaegisError('ldap_protocol', `${SERVER_ERRORS.ldap_protocol} (no highestCommittedUSN: is this Active Directory?)`)
}
