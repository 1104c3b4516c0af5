import { CaegisError } from '@caegis/protocol'
import { hasBreakGlass, isBreakGlass } from '../directory/break-glass.ts'
import { SERVER_ERRORS } from '../errors.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt, note } from './attempt.ts'
import { STREAM_SCOPES } from './resources.ts'
import type { Tenant } from './tenant.ts'

/** Who wants through: a form of the token endpoint, somebody by name at the sign-in page, or somebody of whom nothing is known yet. */
export type Asking = { form: URLSearchParams } | { username: string } | 'somebody'

/**
 * The gate of a stopped tenant, before anything costly: a herd of clients that all want to know costs one row a request. It lets through what the fence will let
 * out again: stream tokens, and whatever may be on the way of the emergency account, if there is one. The row is noted, so that a stop that comes meanwhile is
 * seen by the fence.
 * @returns whether the tenant is stopped; @throws CaegisError `tenant_stopped`
 */
export async function passGate(store: Store, tenant: Tenant, asking: Asking): Promise<boolean> {
  const row = await store.db.selectFrom('tenants').select(['stopped_at', 'version']).where('id', '=', tenant.id).executeTakeFirstOrThrow()
  note(currentAttempt(), { table: 'tenant', id: tenant.id }, row.version)
  await tenant.keys.follow(row.version)
  if (row.stopped_at === null) return false
  if (typeof asking === 'object' && 'form' in asking && asksForStreams(asking.form)) return true
  if ((await hasBreakGlass(store.db, tenant.id)) && (await mayBeBreakGlass(store, tenant, asking))) return true
  throw new CaegisError('tenant_stopped', SERVER_ERRORS.tenant_stopped)
}

export function isStop(error: unknown): boolean {
  return error instanceof CaegisError && error.code === 'tenant_stopped'
}

/** A client's own token for the stream endpoints, and for nothing else. */
function asksForStreams(form: URLSearchParams): boolean {
  if (form.get('grant_type') !== 'client_credentials') return false
  const scopes = (form.get('scope') ?? '').split(/\s+/).filter((scope) => scope !== '')
  return scopes.length > 0 && scopes.every((scope) => STREAM_SCOPES.includes(scope))
}

async function mayBeBreakGlass(store: Store, tenant: Tenant, asking: Asking): Promise<boolean> {
  if (asking === 'somebody') return true
  if ('username' in asking) return isBreakGlass(store.db, tenant.id, asking.username)
  const grant = GRANTS.get(asking.form.get('grant_type') ?? '')
  const presented = grant && asking.form.get(grant.parameter)
  if (!grant || !presented) return false
  const found = await tenant.artifacts.find(store.db, grant.model, presented, Math.floor(store.clock()))
  if (!found) return false
  const { accountId } = found.payload
  // A device whose code nobody has entered yet.
  if (accountId === undefined) return grant.model === 'DeviceCode'
  return isBreakGlass(store.db, tenant.id, String(accountId))
}

/** What a user's grant presents, and under which model the provider keeps it. */
const DEVICE = { model: 'DeviceCode', parameter: 'device_code' }
const GRANTS = new Map([
  ['authorization_code', { model: 'AuthorizationCode', parameter: 'code' }],
  ['refresh_token', { model: 'RefreshToken', parameter: 'refresh_token' }],
  ['device_code', DEVICE],
  ['urn:ietf:params:oauth:grant-type:device_code', DEVICE],
])
