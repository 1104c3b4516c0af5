import { randomBytes, randomUUID } from 'node:crypto'
import { CaegisError, EVENT } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { ApplicationRow, CredentialRow } from '../store/schema.ts'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'
import { type Application, CLI_APP_ID, findApplication, listApis, toApplication } from './application.ts'
import { auditApplication, auditGoneApplication } from './audit-words.ts'
import { readCertificate } from './credentials.ts'
import { createListing, type Listed, type Page } from './listing.ts'
import { settleApi } from './offered.ts'
import { includesPermission, isPermission } from './permissions.ts'
import { changeRights } from './rights.ts'
import { type ApplicationEntry, OWN_APPS } from './tenant-file.ts'

export interface NewSecret {
  displayName: string
  /** Seconds; never when absent. */
  expiresAt?: number
}

export interface ApplicationUpdate {
  displayName?: string
  redirectUris?: string[]
  identifierUris?: string[]
  scopes?: string[]
  dpopBound?: boolean
  cae?: boolean
  optionalClaims?: string[]
  /** Rights in the admin API may be withdrawn so, and never be given. */
  permissions?: string[]
  /** Whether whoever asks may give others than it has. */
  grants?: boolean
}

/** What the server's administrators do to applications. Whatever takes something away from one ends what it holds, in the same change. */
export function createApplications(store: Store, tenant: string, secrets: Secrets) {
  const edit = <T>(actor: Actor, appId: string, work: (context: ChangeContext, app: Application) => Promise<T>): Promise<Committed<T>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const app = await findApplication(context.db, tenant, appId)
        if (!app) throw new CaegisError('application_not_found', SERVER_ERRORS.application_not_found)
        const result = await work(context, app)
        await settle(context, app)
        return result
      },
    })

  const add = async (context: ChangeContext, actor: Actor, app: Application, row: Omit<CredentialRow, 'tenant' | 'app_id'>) => {
    if (app.type === 'spa' || app.type === 'native') throw new CaegisError('public_client', SERVER_ERRORS.public_client)
    await refuseBeyond(context, actor, app)
    const { db } = context
    await db
      .insertInto('credentials')
      .values({ tenant, app_id: app.appId, ...row })
      .execute()
    await db.updateTable('applications').set({ confidential: 1 }).where('tenant', '=', tenant).where('id', '=', app.id).execute()
  }

  const listing = createListing<ApplicationRow, Application>(store.db, tenant, 'applications', true, (row) => toApplication(row, []))
  const refuseOwn = (appId: string) => {
    if (OWN_APPS.has(appId)) throw new CaegisError('own_application', SERVER_ERRORS.own_application)
  }

  return {
    find: (appId: string) => findApplication(store.db, tenant, appId),

    /** @returns the appId of who goes by it, or by this identifier URI */
    async named(name: string): Promise<string | undefined> {
      if (await findApplication(store.db, tenant, name)) return name
      return (await listApis(store.db, tenant)).find(({ identifierUris }) => identifierUris.includes(name))?.appId
    },

    list: {
      count: listing.count,
      async page(page: Page): Promise<Listed<Application>> {
        const found = await listing.page(page)
        const ids = found.value.map(({ appId }) => appId)
        const select = store.db.selectFrom('credentials').selectAll().where('tenant', '=', tenant)
        const all = ids.length === 0 ? [] : await select.where('app_id', 'in', ids).orderBy('id').execute()
        const of = Map.groupBy(all, (one) => one.app_id)
        return { ...found, value: found.value.map((app) => ({ ...app, credentials: of.get(app.appId) ?? [] })) }
      },
    },

    /** Registers one. An id that was ever used here is never given again: tokens and logs know it. */
    create: (actor: Actor, entry: ApplicationEntry): Promise<Committed<void>> =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const { db } = context
          const known = await db
            .selectFrom('applications')
            .select('id')
            .where('tenant', '=', tenant)
            .where('app_id', '=', entry.appId)
            .executeTakeFirst()
          if (known || OWN_APPS.has(entry.appId)) throw exists()
          await refuseTaken(context, entry.appId, entry.identifierUris)
          await saveApplication(context, secrets, entry)
        },
      }),

    update: (actor: Actor, appId: string, given: ApplicationUpdate) =>
      edit(actor, appId, async (context, app) => {
        const { displayName, redirectUris, identifierUris, scopes, dpopBound, cae, optionalClaims, permissions, grants = false } = given
        refuseOwn(app.appId)
        const gained = permissions?.filter((one) => !app.permissions.includes(one)) ?? []
        // What was taken back since whoever asks has read it is nothing that stays.
        if (gained.length > 0 && !grants) throw new CaegisError('changed_meanwhile', SERVER_ERRORS.changed_meanwhile)
        if (gained.some((one) => one.startsWith(GRAPH)))
          throw new CaegisError('mightier_application', 'Rights in the admin API are given by the tenant file. Here they can be taken back.')
        const answersElsewhere = redirectUris?.some((uri) => !app.redirectUris.includes(uri))
        if (answersElsewhere || (app.dpopBound && dpopBound === false)) await refuseBeyond(context, actor, app)
        await refuseTaken(context, app.appId, identifierUris)
        await context.db
          .updateTable('applications')
          .set({
            display_name: displayName ?? app.displayName,
            redirect_uris: JSON.stringify(redirectUris ?? app.redirectUris),
            identifier_uris: JSON.stringify(identifierUris ?? app.identifierUris),
            scopes: JSON.stringify(scopes ?? app.scopes),
            dpop_bound: (dpopBound ?? app.dpopBound) ? 1 : 0,
            cae: (cae ?? app.cae) ? 1 : 0,
            optional_claims: JSON.stringify(optionalClaims ?? app.optionalClaims),
            permissions: JSON.stringify(permissions ?? app.permissions),
          })
          .where('tenant', '=', tenant)
          .where('id', '=', app.id)
          .execute()
      }),

    /** Ends one for ever, with everything that it holds and everything that others hold of it. Its row stays, and with it the instant of the end. */
    remove: (actor: Actor, appId: string): Promise<Committed<void>> =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const { db, now, publish } = context
          const app = await findApplication(db, tenant, appId)
          if (!app) throw new CaegisError('application_not_found', SERVER_ERRORS.application_not_found)
          refuseOwn(app.appId)
          const given = db.selectFrom('assignments').select('principal_id').where('tenant', '=', tenant).where('app_id', '=', appId)
          const principals = [...new Set((await given.execute()).map((row) => row.principal_id))]
          await changeRights(context, principals, async () => {
            await db.deleteFrom('assignments').where('tenant', '=', tenant).where('app_id', '=', appId).execute()
          })
          await db.deleteFrom('credentials').where('tenant', '=', tenant).where('app_id', '=', appId).execute()
          const none = '[]'
          await db
            .updateTable('applications')
            .set({ redirect_uris: none, identifier_uris: none, scopes: none, permissions: none, optional_claims: none, logout_uri: null })
            // Without a credential it must not become a public client either.
            .set({ enabled: 0, confidential: 1, deleted_at: Math.floor(now), version: app.version + 1 })
            .where('tenant', '=', tenant)
            .where('id', '=', app.id)
            .execute()
          auditGoneApplication(context, app)
          await settleApi(context, app, { ...app, enabled: false })
          publish({
            ...{ type: EVENT.accountDisabled, subject: subjectOf(appId), reason: 'The application was deleted' },
            cut: { kind: 'app', id: appId, depth: 'sign-in' },
          })
        },
      }),

    setEnabled: (actor: Actor, appId: string, enabled: boolean) =>
      edit(actor, appId, async (context, app) => {
        if (!enabled && app.appId === CLI_APP_ID) throw new CaegisError('command_line', SERVER_ERRORS.command_line)
        if (enabled && !app.enabled) await refuseBeyond(context, actor, app)
        await context.db
          .updateTable('applications')
          .set({ enabled: enabled ? 1 : 0 })
          .where('tenant', '=', tenant)
          .where('id', '=', app.id)
          .execute()
      }),

    /** Makes a secret; its text exists in the answer only. */
    addSecret: (actor: Actor, appId: string, { displayName, expiresAt }: NewSecret) =>
      edit(actor, appId, async (context, app) => {
        const id = randomUUID()
        const text = randomBytes(30).toString('base64url')
        const value = secrets.digest(`client:${tenant}:${app.appId}`, text)
        await add(context, actor, app, { id, kind: 'secret', value, display_name: displayName, not_before: 0, expires_at: expiresAt ?? null })
        return { id, secret: text }
      }),

    addCertificate: (actor: Actor, appId: string, { displayName, pem }: { displayName: string; pem: string }) => {
      const read = readCertificate(pem)
      return edit(actor, appId, async (context, app) => {
        const id = randomUUID()
        await add(context, actor, app, { id, display_name: displayName, ...read })
        return id
      })
    },

    /** @returns whether there was such a credential */
    removeCredential: (actor: Actor, appId: string, id: string) =>
      edit(actor, appId, async ({ db }, app) => {
        await db.deleteFrom('credentials').where('tenant', '=', tenant).where('app_id', '=', app.appId).where('id', '=', id).execute()
        return app.credentials.some((one) => one.id === id)
      }),
  }
}

/** Permissions in the admin API begin so. */
export const GRAPH = 'graph/'

/** What an application may do in the admin API. */
const adminRightsOf = ({ permissions }: Pick<Application, 'permissions'>) =>
  permissions.filter((one) => one.startsWith(GRAPH)).map((one) => one.slice(GRAPH.length))

export type Applications = ReturnType<typeof createApplications>

/**
 * Whoever gives an application a credential, or an address to answer to, can speak for it; whoever lets it in again, or with a token that no key holds, helps who has an old one. Nobody comes so to rights in the admin API that the application through
 * which they do it does not have itself: that is for the tenant file, on the host.
 * @throws CaegisError `mightier_application`
 */
export async function refuseBeyond({ db, tenant }: ChangeContext, actor: Actor, app: Pick<Application, 'permissions'>): Promise<void> {
  if (actor.kind !== 'app' && actor.kind !== 'user') return
  const held = adminRightsOf((await findApplication(db, tenant, actor.appId)) ?? { permissions: [] })
  const isWithin = (right: string) => held.includes('.default') || held.includes(right) || (isPermission(right) && includesPermission(held, right))
  if (!adminRightsOf(app).every(isWithin)) throw new CaegisError('mightier_application', SERVER_ERRORS.mightier_application)
}

/** What an application will be once a tenant file was applied to it. */
export function plannedOf(before: Application | undefined, entry: ApplicationEntry, secrets: Secrets, tenant: string): Application {
  const { appId } = entry
  const columns = columnsOf(entry)
  const credentials = credentialsIn(entry, (text) => secrets.digest(`client:${tenant}:${appId}`, text))
  const kept = (before?.credentials ?? []).filter(({ id }) => id !== OF_FILE && !id.startsWith(`${OF_FILE}:`))
  const enabled = entry.enabled ?? before?.enabled ?? true
  const nothing = { id: before?.id ?? '', version: 0, valid_from: 0, access_from: 0 }
  const row = {
    ...nothing,
    app_id: appId,
    ...columns,
    enabled: enabled ? 1 : 0,
    confidential: before?.confidential || credentials.length > 0 || entry.type === 'daemon' ? 1 : 0,
  }
  return toApplication(row as ApplicationRow, [...kept, ...credentials.map((one) => ({ tenant, app_id: appId, ...one }))])
}

/** The columns that a tenant file decides alone. */
function columnsOf(entry: ApplicationEntry) {
  return {
    display_name: entry.displayName ?? entry.appId,
    type: entry.type ?? ('api' as const),
    cae: entry.cae ? 1 : 0,
    consent: entry.consent === 'required' ? 1 : 0,
    redirect_uris: JSON.stringify(entry.redirectUris ?? []),
    identifier_uris: JSON.stringify(entry.identifierUris ?? []),
    scopes: JSON.stringify(entry.scopes ?? []),
    permissions: JSON.stringify(entry.permissions ?? []),
    dpop_bound: entry.dpopBoundAccessTokens ? 1 : 0,
    optional_claims: JSON.stringify(entry.optionalClaims ?? []),
    logout_uri: entry.backchannelLogoutUri ?? null,
    logout_session: entry.backchannelLogoutSessionRequired ? 1 : 0,
  }
}

/** Registers an application of a tenant file, or makes it what the file says now. What commands added to it stays: its further secrets, for one. */
export async function saveApplication(context: ChangeContext, secrets: Secrets, entry: ApplicationEntry): Promise<void> {
  const { db, tenant } = context
  const { appId } = entry
  const credentials = credentialsIn(entry, (text) => secrets.digest(`client:${tenant}:${appId}`, text))
  const columns = {
    ...columnsOf(entry),
    ...(entry.enabled === undefined ? {} : { enabled: entry.enabled ? 1 : 0 }),
    // A daemon that has no credential yet is nobody.
    ...(credentials.length > 0 || entry.type === 'daemon' ? { confidential: 1 } : {}),
  }
  const before = await findApplication(db, tenant, appId)
  if (before) {
    await db.updateTable('applications').set(columns).where('tenant', '=', tenant).where('app_id', '=', appId).execute()
  } else {
    await db
      .insertInto('applications')
      .values({ tenant, id: randomUUID(), app_id: appId, enabled: 1, ...columns })
      .execute()
  }
  await db
    .deleteFrom('credentials')
    .where('tenant', '=', tenant)
    .where('app_id', '=', appId)
    .where((eb) => eb.or([eb('id', '=', OF_FILE), eb('id', 'like', `${OF_FILE}:%`)]))
    .execute()
  for (const one of credentials)
    await db
      .insertInto('credentials')
      .values({ tenant, app_id: appId, ...one })
      .execute()
  if (before) await settle(context, before)
  else auditApplication(context, undefined, (await findApplication(db, tenant, appId)) as Application)
}

/** Ids of the credentials that a tenant file names begin so. */
const OF_FILE = 'file'

function credentialsIn(entry: ApplicationEntry, digest: (text: string) => string): Omit<CredentialRow, 'tenant' | 'app_id'>[] {
  const secret = (id: string, name: string, text: string, expires?: string) => ({
    ...{ id, kind: 'secret' as const, value: digest(text), display_name: name, not_before: 0 },
    expires_at: expires === undefined ? null : Math.floor(Date.parse(expires) / 1000),
  })
  return [
    ...(entry.clientSecret === undefined ? [] : [secret(OF_FILE, 'tenant file', entry.clientSecret)]),
    ...(entry.secrets ?? []).map(({ name, value, expires }) => secret(`${OF_FILE}:secret:${name}`, name, value, expires)),
    ...(entry.certificates ?? []).map(({ name, pem }) => ({ id: `${OF_FILE}:certificate:${name}`, display_name: name, ...readCertificate(pem) })),
  ]
}

/** After an edit: moves the version when anything changed, and ends what the application holds when something was taken away from it. */
async function settle(context: ChangeContext, before: Application): Promise<void> {
  const { db, tenant, publish } = context
  const after = (await findApplication(db, tenant, before.appId)) as Application
  if (JSON.stringify(after) === JSON.stringify(before)) return
  await db
    .updateTable('applications')
    .set({ version: before.version + 1 })
    .where('tenant', '=', tenant)
    .where('app_id', '=', before.appId)
    .execute()
  auditApplication(context, before, after)
  await settleApi(context, before, after)
  const subject = subjectOf(before.appId)
  const cut = { kind: 'app', id: before.appId, depth: 'sign-in' } as const
  if (before.enabled && !after.enabled) {
    publish({ type: EVENT.accountDisabled, subject, reason: 'The application was disabled', cut })
    return
  }
  if (!before.enabled && after.enabled) publish({ type: EVENT.accountEnabled, subject, reason: 'The application was enabled' })
  const lost = loss(before, after)
  if (lost) publish({ type: EVENT.sessionRevoked, subject, reason: lost, cut })
}

const subjectOf = (id: string) => ({ complex: { format: 'complex' as const, application: { format: 'opaque' as const, id } } })

const exists = () => new CaegisError('application_exists', SERVER_ERRORS.application_exists)

/** Two APIs of one name would get each other's tokens. */
export async function refuseTaken({ db, tenant }: ChangeContext, appId: string, uris: readonly string[] = []): Promise<void> {
  if (uris.length === 0) return
  const others = (await listApis(db, tenant)).filter((one) => one.appId !== appId)
  if (others.some((one) => one.identifierUris.some((uri) => uris.includes(uri)))) throw exists()
}

/** What an edit took away, in words for the log. More redirect URIs, permissions or secrets than before take nothing. */
function loss(before: Application, after: Application): string | undefined {
  const kept = (one: CredentialRow) => after.credentials.some(({ id, value }) => id === one.id && value === one.value)
  if (!before.credentials.every(kept)) return 'A credential of the application was removed or replaced'
  if (!before.permissions.every((one) => after.permissions.includes(one))) return 'A permission of the application was withdrawn'
  if (!before.consentRequired && after.consentRequired) return 'Users are asked from now on before the application gets anything'
  if (!before.dpopBound && after.dpopBound) return 'The application gets tokens that are bound to a key from now on, and no others'
  if (before.type !== after.type) return 'The application became one of another kind'
  return undefined
}
