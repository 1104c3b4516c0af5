import { type CutoffKey, cutoffKeys } from '@caegis/protocol'
import { createLocalJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { errors, type KoaContextWithOIDC } from 'oidc-provider'
import type { RevokedToken } from '../directory/sessions.ts'
import { INSTANTS, lastInstantFor } from '../store/change.ts'
import type { Store } from '../store/store.ts'
import { currentAttempt } from './attempt.ts'
import { readApplication } from './facts.ts'
import type { Tenant } from './tenant.ts'

/** An access token of this tenant, its signature and lifetime checked. */
export type AccessToken = JWTPayload & { jti: string; iat: number; exp: number; client_id: string }

/**
 * The rest of the endpoints that take a token to revoke (RFC 7009) or to introspect (RFC 7662). The provider has let the client in and has seen a stand-in only:
 * access tokens are JWTs, which it does not store, and whether one is good is for the rows to say.
 */
export async function answerPresented(store: Store, tenant: Tenant, ctx: KoaContextWithOIDC): Promise<void> {
  const { presented } = currentAttempt()
  const { route, client } = ctx.oidc ?? {}
  if (presented === undefined || !client || ctx.status !== 200) return
  if (route === 'introspection') {
    // Only who can prove to be an API may ask: anybody else could try tokens here unseen.
    if (client.clientAuthMethod === 'none') return refuse(ctx, new errors.InvalidClientAuth('only an API with credentials of its own may ask'))
    ctx.body = await introspect(store, tenant, presented, client.clientId)
  }
  if (route === 'revocation' && !(await revoke(store, tenant, presented, client.clientId)))
    return refuse(ctx, new errors.UnauthorizedClient('the token belongs to another client'))
}

async function introspect(store: Store, tenant: Tenant, presented: string, clientId: string): Promise<object> {
  const claims = await verifyAccessToken(store, tenant, presented)
  const api = await readApplication(tenant, clientId)
  // An API learns of tokens that were issued for it, and not even the existence of others.
  if (!claims || !api?.enabled || !api.identifierUris.includes(String(claims.aud)) || !(await isGood(store, tenant, claims))) return { active: false }
  return { active: true, token_type: claims.cnf === undefined ? 'Bearer' : 'DPoP', ...claims }
}

/** @returns false when it is another client's */
async function revoke(store: Store, tenant: Tenant, presented: string, clientId: string): Promise<boolean> {
  const attempt = currentAttempt()
  const reason = 'The client handed the token back'
  const claims = await verifyAccessToken(store, tenant, presented)
  if (claims) {
    if (claims.client_id !== clientId) return false
    attempt.endings.push({ kind: 'token', token: factsOf(claims), reason })
    return true
  }
  const now = Math.floor(store.clock())
  // Not through the adapter: a refresh token that is handed back is not used, and so not used again either.
  const refresh = await tenant.artifacts.find(store.db, 'RefreshToken', presented, now)
  if (!refresh) return true
  const { clientId: owner, grantId, sessionUid, accountId } = refresh.payload as Record<string, string | undefined>
  if (owner !== clientId) return false
  if (grantId !== undefined) attempt.removedGrants.add(grantId)
  if (sessionUid !== undefined) {
    attempt.endings.push({ kind: 'lineage', sid: sessionUid, ...(accountId === undefined ? {} : { by: accountId }), reason })
  }
  return true
}

/** What the directory has to know of a token to end it. */
export function factsOf({ jti, iat, exp, client_id: appId, sub, sid, idtyp }: AccessToken): RevokedToken {
  const whose = idtyp === 'app' || sub === undefined ? {} : { user: sub, ...(typeof sid === 'string' ? { sid } : {}) }
  return { jti, iat: Math.floor(iat), exp: Math.ceil(exp), appId, ...whose }
}

/** `undefined` for whatever is not an access token of this tenant, or has expired. */
export async function verifyAccessToken(store: Store, tenant: Tenant, token: string): Promise<AccessToken | undefined> {
  const { version } = await store.db.selectFrom('tenants').select('version').where('id', '=', tenant.id).executeTakeFirstOrThrow()
  await tenant.keys.follow(version)
  try {
    const keys = createLocalJWKSet({ keys: tenant.keys.public as never })
    const { payload } = await jwtVerify(token, keys, {
      issuer: tenant.issuer,
      typ: 'at+jwt',
      algorithms: ['ES256'],
      requiredClaims: ['jti', 'iat', 'exp', 'client_id'],
      currentDate: new Date(store.clock() * 1000),
    })
    return payload as AccessToken
  } catch {
    return undefined
  }
}

/** The client said `cp1` when it got this token: it can answer a claims challenge. */
export function isCapable({ xms_cc: capabilities }: AccessToken): boolean {
  return Array.isArray(capabilities) && capabilities.includes('cp1')
}

/** What a guard that knows everything would say: by the rows, which forget nothing, and the cutoffs of what has no row. */
export async function isGood(store: Store, tenant: Tenant, claims: AccessToken): Promise<boolean> {
  const keys = cutoffKeys(claims)
  if (!keys) return false
  const capable = isCapable(claims)
  const cut = await store.db
    .selectFrom('cutoffs')
    .select('kind')
    .where('tenant', '=', tenant.id)
    .where('spares', 'in', capable ? [0, 1] : [0])
    .where('t', '>=', Math.floor(claims.iat))
    .where((eb) => eb.or(keys.map(({ kind, id }) => eb.and([eb('kind', '=', kind), eb('id', '=', id)]))))
    .executeTakeFirst()
  if (cut) return false
  for (const key of keys) if (!(await isAlive(store, tenant, key, Math.floor(claims.iat), capable))) return false
  return true
}

async function isAlive({ db }: Store, tenant: Tenant, { kind, id }: CutoffKey, iat: number, capable: boolean): Promise<boolean> {
  const after = (row: Parameters<typeof lastInstantFor>[0]) => row === undefined || iat > lastInstantFor(row, capable)
  switch (kind) {
    case 'tenant':
      return after(await db.selectFrom('tenants').select(INSTANTS).where('id', '=', id).executeTakeFirst())
    case 'user': {
      const row = await db
        .selectFrom('users')
        .select([...INSTANTS, 'enabled'])
        .where('tenant', '=', tenant.id)
        .where('id', '=', id)
        .executeTakeFirst()
      // A daemon is its own subject: its rows are the application's.
      return after(row) && row?.enabled !== 0
    }
    case 'session':
      return after(await db.selectFrom('sessions').select(INSTANTS).where('tenant', '=', tenant.id).where('id', '=', id).executeTakeFirst())
    case 'app': {
      const row = await db
        .selectFrom('applications')
        .select([...INSTANTS, 'enabled'])
        .where('tenant', '=', tenant.id)
        .where('app_id', '=', id)
        .executeTakeFirst()
      // An agent that acts under an account of its own is named by that, and judged as a user.
      if (!row)
        return (await db.selectFrom('users').select('id').where('tenant', '=', tenant.id).where('id', '=', id).executeTakeFirst()) !== undefined
      return after(row) && row.enabled === 1
    }
    case 'device': {
      const row = await db
        .selectFrom('devices')
        .select([...INSTANTS, 'enabled'])
        .where('tenant', '=', tenant.id)
        .where('id', '=', id)
        .executeTakeFirst()
      return row !== undefined && after(row) && row.enabled === 1
    }
    case 'user-device': {
      const [user = '', device = ''] = id.split('\n')
      return after(
        await db
          .selectFrom('device_users')
          .select(INSTANTS)
          .where('tenant', '=', tenant.id)
          .where('user_id', '=', user)
          .where('device_id', '=', device)
          .executeTakeFirst(),
      )
    }
    case 'grant': {
      const [user = '', app = ''] = id.split('\n')
      return after(
        await db
          .selectFrom('grants')
          .select(INSTANTS)
          .where('tenant', '=', tenant.id)
          .where('user_id', '=', user)
          .where('app_id', '=', app)
          .executeTakeFirst(),
      )
    }
    default:
      return true
  }
}

/** Thrown here it would pass the place where the provider writes its errors. */
function refuse(ctx: KoaContextWithOIDC, error: errors.OIDCProviderError): void {
  ctx.status = error.statusCode
  ctx.body = { error: error.error, ...(error.error_description === undefined ? {} : { error_description: error.error_description }) }
}
