import { randomBytes, randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { UpstreamRow } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { auditUpstream } from './audit-words.ts'
import type { Upstream, UpstreamCredentials, UpstreamEntry, UpstreamPatch } from './upstream.ts'

/** What lies sealed: how this server proves itself there, and the `Authorization` header by which pushes from there are known. */
export interface UpstreamSecrets {
  credentials: UpstreamCredentials
  authorizationHeader: string
}

type Config = Omit<Upstream, 'id' | 'issuer' | 'enabled' | 'createdAt'>

/** Each is a connection that is kept open. */
const MAX_UPSTREAMS = 32

/** The transmitters that a tenant listens to. */
export function createUpstreamRegistry(store: Pick<Store, 'db' | 'commit'>, secrets: Secrets, tenant: string, issuer: string) {
  const context = (id: string) => `upstream:${tenant}:${id}`
  const open = (row: Pick<UpstreamRow, 'id' | 'sealed'>) => secrets.open(context(row.id), row.sealed) as UpstreamSecrets
  const rows = (db: Pick<ChangeContext['db'], 'selectFrom'> = store.db) => db.selectFrom('upstreams').selectAll().where('tenant', '=', tenant)
  const existing = async (db: Pick<ChangeContext['db'], 'selectFrom'>, id: string) => {
    const row = await rows(db).where('id', '=', id).executeTakeFirst()
    if (!row) throw new CaegisError('upstream_not_found', SERVER_ERRORS.upstream_not_found)
    return row
  }

  return {
    async list(): Promise<Upstream[]> {
      return (await rows().orderBy('id').execute()).map(toUpstream)
    },
    async find(id: string): Promise<Upstream | undefined> {
      const row = await rows().where('id', '=', id).executeTakeFirst()
      return row && toUpstream(row)
    },
    async findByIssuer(of: string): Promise<Upstream | undefined> {
      const row = await rows().where('issuer', '=', of).executeTakeFirst()
      return row && toUpstream(row)
    },
    /** Whether these are what lies sealed. */
    async hasCredentials(id: string, credentials: UpstreamCredentials): Promise<boolean> {
      return isDeepStrictEqual(credentials, open(await existing(store.db, id)).credentials)
    },
    /** For the receiver itself, and nobody else. */
    async secretsOf(id: string): Promise<UpstreamSecrets> {
      return open(await existing(store.db, id))
    },

    create: (actor: Actor, { issuer: theirs, enabled = true, credentials, ...given }: UpstreamEntry): Promise<Committed<string>> =>
      store.commit({
        tenant,
        actor,
        async edit(change) {
          const { db, now } = change
          if (theirs === issuer) throw invalid('A tenant cannot be an upstream of itself.')
          const all = await rows(db).select(['issuer']).execute()
          if (all.some((one) => one.issuer === theirs)) throw new CaegisError('upstream_exists', SERVER_ERRORS.upstream_exists)
          if (all.length >= MAX_UPSTREAMS) throw invalid(`There are ${MAX_UPSTREAMS} upstreams already.`)
          const id = randomUUID()
          const kept: UpstreamSecrets = { credentials, authorizationHeader: `Bearer ${randomBytes(32).toString('base64url')}` }
          const sealed = secrets.seal(context(id), kept)
          const config = JSON.stringify(settle(theirs, given))
          await db
            .insertInto('upstreams')
            .values({ tenant, id, issuer: theirs, config, sealed, enabled: enabled ? 1 : 0, created_at: now, state: '{}' })
            .execute()
          auditUpstream(change, 'Add', { id, issuer: theirs })
          return id
        },
      }),

    /** What is not named stays; what is as it was is not written again. The result says whether anything changed. */
    update: (actor: Actor, id: string, { enabled, credentials, ...given }: UpstreamPatch): Promise<Committed<boolean>> =>
      store.commit({
        tenant,
        actor,
        async edit(change) {
          const { db } = change
          const row = await existing(db, id)
          const config = JSON.stringify(settle(row.issuer, { ...plain(JSON.parse(row.config)), ...given }))
          const kept = open(row)
          const renewed = credentials !== undefined && !isDeepStrictEqual(credentials, kept.credentials)
          const changed = {
            ...(config === row.config ? {} : { config }),
            ...(renewed ? { sealed: secrets.seal(context(id), { ...kept, credentials }) } : {}),
            ...(enabled === undefined || enabled === (row.enabled === 1) ? {} : { enabled: enabled ? 1 : 0 }),
          }
          if (Object.keys(changed).length === 0) return false
          await db.updateTable('upstreams').set(changed).where('tenant', '=', tenant).where('id', '=', id).execute()
          auditUpstream(
            change,
            'Update',
            row,
            Object.keys(changed).map((name) => (name === 'sealed' ? 'credentials' : name)),
          )
          return true
        },
      }),

    /** Whom it disabled stays disabled, until somebody here enables them. */
    remove: (actor: Actor, id: string): Promise<Committed<void>> =>
      store.commit({
        tenant,
        actor,
        async edit(change) {
          const { db } = change
          auditUpstream(change, 'Delete', await existing(db, id))
          await db.deleteFrom('upstreams').where('tenant', '=', tenant).where('id', '=', id).execute()
          for (const table of ['upstream_sets', 'upstream_outcomes'] as const)
            await db.deleteFrom(table).where('tenant', '=', tenant).where('upstream', '=', id).execute()
        },
      }),
  }
}

export type UpstreamRegistry = ReturnType<typeof createUpstreamRegistry>

/** @throws CaegisError `invalid_upstream` */
function settle(issuer: string, given: Omit<UpstreamPatch, 'enabled' | 'credentials'>): Config {
  const { displayName, delivery, audience, receiver, issuers, domains, source, subject, actions } = given
  const config: Config = {
    displayName: displayName ?? new URL(issuer).host,
    delivery: delivery ?? 'poll',
    audience: audience ?? null,
    receiver: receiver ?? null,
    issuers: issuers ?? [issuer],
    domains: domains ?? [],
    source: source ?? '',
    subject: subject ?? 'externalId',
    actions: actions ?? {},
  }
  // A user name is anybody's: without a bound, it could speak about every user here.
  if (config.subject === 'userPrincipalName' && config.domains.length === 0) throw invalid('Subjects that are user names need domains.')
  return config
}

/** Stored settings as somebody would give them. */
function plain({ audience, receiver, ...rest }: Config): Omit<UpstreamPatch, 'enabled' | 'credentials'> {
  return { ...rest, ...(audience === null ? {} : { audience }), ...(receiver === null ? {} : { receiver }) }
}

function toUpstream({ id, issuer, config, enabled, created_at: createdAt }: UpstreamRow): Upstream {
  return { id, issuer, enabled: enabled === 1, ...(JSON.parse(config) as Config), createdAt }
}

function invalid(detail: string): CaegisError {
  return new CaegisError('invalid_upstream', detail)
}
