import { CaegisError, type ComplexSubject, type CutoffDepth, EVENT, pairId } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Actor, Change, ChangeContext, Committed } from '../store/change.ts'
import type { Store } from '../store/store.ts'

/** An access token as its own claims name it. */
export interface RevokedToken {
  jti: string
  iat: number
  exp: number
  appId: string
  /** Absent for a daemon. */
  user?: string
  sid?: string
}

export interface Session {
  id: string
  /** Seconds: when the first factor was proved. */
  signedInAt: number
  createdAt: number
  /** The last second at which a token of it could be good. */
  tokensUntil: number
}

export interface Grant {
  user: string
  appId: string
  /** Full names: what it got, and what the user agreed to. */
  scopes: string[]
  createdAt: number
  /** When it last got a token; 0 = never yet. */
  lastAt: number
}

/** Seconds: as long as the issuer keeps a browser session. */
const LONGEST_SESSION = 90 * 24 * 3600
const MOST_LISTED = 999

/** Single tokens of one session, and of one user or daemon, that may be cut off at a time; beyond it the next wider cutoff takes their place. */
export const TOKENS_OF_SESSION = 20
export const TOKENS_OF_OWNER = 60

/** Owner of those of which nothing but the id was given. */
const BY_ID = 'unknown'

/** Sessions and single tokens: what ends without the rest of the user's access. */
export function createSessions(store: Store, tenant: string, issuer: string, onSignedOut: (sids: string[]) => void) {
  const complexOf = (user: string | undefined, more: Omit<ComplexSubject, 'format'>): { complex: ComplexSubject } => ({
    complex: { format: 'complex', ...(user === undefined ? {} : { user: { format: 'iss_sub', iss: issuer, sub: user } }), ...more },
  })

  const endSession = (actor: Actor, sid: string, reason: string, depth: CutoffDepth): Change<boolean> => ({
    tenant,
    actor,
    async edit(context) {
      const session = await context.db.selectFrom('sessions').select('user_id').where('tenant', '=', tenant).where('id', '=', sid).executeTakeFirst()
      if (!session) return false
      context.publish({
        type: EVENT.sessionRevoked,
        subject: complexOf(session.user_id, { session: { format: 'opaque', id: sid } }),
        reason,
        cut: { kind: 'session', id: sid, depth },
      })
      return true
    },
  })

  /** How many single cutoffs there are under a column of {@link RevokedToken}. */
  const count = async ({ db, now }: ChangeContext, column: 'owner' | 'sid', value: string): Promise<number> => {
    const { n } = await db
      .selectFrom('revoked_tokens')
      .select((eb) => eb.fn.countAll<number>().as('n'))
      .where('tenant', '=', tenant)
      .where(column, '=', value)
      .where('until', '>', now)
      .executeTakeFirstOrThrow()
    return n
  }

  const publishToken = ({ publish }: ChangeContext, { jti, iat, exp }: Pick<RevokedToken, 'jti' | 'iat' | 'exp'>, reason: string) => {
    const one = { format: 'jwt_id', iss: issuer, jti } as const
    publish({
      type: EVENT.sessionRevoked,
      subject: { simple: one, complex: one },
      reason,
      cut: { kind: 'token', id: jti, iat, exp, depth: 'access' },
    })
  }

  /**
   * One access token. Guards keep a cutoff for each, so there is a bound: beyond it the cutoff widens to the session, then to the user (or the daemon), all of whose
   * tokens are asked for again. It is never dropped.
   */
  const endToken = (actor: Actor, token: RevokedToken, reason: string): Change<void> => ({
    tenant,
    actor,
    async edit(context) {
      const { db, now } = context
      const { jti, iat, exp, appId, user, sid } = token
      const known = await db.selectFrom('revoked_tokens').select('jti').where('tenant', '=', tenant).where('jti', '=', jti).executeTakeFirst()
      if (known || exp <= now) return
      const owner = user === undefined ? `app ${appId}` : `user ${user}`
      const application = { application: { format: 'opaque', id: appId } } as const
      const depth = 'access'
      const type = EVENT.sessionRevoked
      if ((await count(context, 'owner', owner)) >= TOKENS_OF_OWNER) {
        const [subject, cut] =
          user === undefined
            ? [complexOf(undefined, application), { kind: 'app', id: appId, depth } as const]
            : [{ simple: { format: 'iss_sub', iss: issuer, sub: user } as const, ...complexOf(user, {}) }, { kind: 'user', id: user, depth } as const]
        context.publish({ type, subject, reason, cut })
      } else if (user !== undefined && sid !== undefined && (await count(context, 'sid', sid)) >= TOKENS_OF_SESSION) {
        context.publish({
          type,
          subject: complexOf(user, { session: { format: 'opaque', id: sid } }),
          reason,
          cut: { kind: 'session', id: sid, depth },
        })
      } else {
        await db
          .insertInto('revoked_tokens')
          .values({ tenant, jti, owner, sid: sid ?? null, until: exp })
          .execute()
        // Not below what was derived from it: none of that is later than the tenant's last token.
        const home = await db.selectFrom('tenants').select('last_iat').where('id', '=', tenant).executeTakeFirstOrThrow()
        publishToken(context, { jti, iat: Math.max(iat, home.last_iat), exp }, reason)
      }
    },
  })

  return {
    /** Browser sessions of a user that are still good, the newest first. */
    async sessions(user: string): Promise<Session[]> {
      const rows = await store.db
        .selectFrom('sessions')
        .innerJoin('users', (join) => join.onRef('users.tenant', '=', 'sessions.tenant').onRef('users.id', '=', 'sessions.user_id'))
        .innerJoin('tenants', 'tenants.id', 'sessions.tenant')
        .select(['sessions.id', 'sessions.auth_time', 'sessions.created_at', 'sessions.tokens_until'])
        .where('sessions.tenant', '=', tenant)
        .where('sessions.user_id', '=', user)
        .whereRef('sessions.auth_time', '>', 'sessions.valid_from')
        .whereRef('sessions.auth_time', '>', 'users.valid_from')
        .whereRef('sessions.auth_time', '>', 'tenants.valid_from')
        .where('sessions.auth_time', '>', Math.floor(store.clock()) - LONGEST_SESSION)
        .orderBy('sessions.auth_time', 'desc')
        .limit(MOST_LISTED)
        .execute()
      return rows.map((row) => ({ id: row.id, signedInAt: row.auth_time, createdAt: row.created_at, tokensUntil: row.tokens_until }))
    },

    /** What applications hold of a user. */
    async grants(user: string): Promise<Grant[]> {
      const rows = await store.db
        .selectFrom('grants')
        .select(['app_id', 'scopes', 'consented', 'created_at', 'last_iat'])
        .where('tenant', '=', tenant)
        .where('user_id', '=', user)
        .where((eb) => eb.or([eb('last_iat', '>', eb.ref('valid_from')), eb('consented', '!=', '[]')]))
        .orderBy('app_id')
        .limit(MOST_LISTED)
        .execute()
      return rows.map((row) => ({
        ...{ user, appId: row.app_id, createdAt: row.created_at, lastAt: row.last_iat },
        scopes: [...new Set<string>([...JSON.parse(row.scopes), ...JSON.parse(row.consented)])].sort(),
      }))
    },

    /** Consent withdrawn: what one application holds of a user ends; other applications and the browser session notice nothing. */
    revokeGrant: (actor: Actor, user: string, app: string): Promise<Committed<boolean>> =>
      store.commit({
        tenant,
        actor,
        async edit({ db, publish }) {
          const known = await db
            .selectFrom('grants')
            .select('app_id')
            .where('tenant', '=', tenant)
            .where('user_id', '=', user)
            .where('app_id', '=', app)
            .executeTakeFirst()
          if (!known) return false
          publish({
            type: EVENT.sessionRevoked,
            subject: complexOf(user, { application: { format: 'opaque', id: app } }),
            reason: 'What the application held of the user was withdrawn',
            cut: { kind: 'grant', id: pairId(user, app), user, app, depth: 'sign-in' },
          })
          await db
            .updateTable('grants')
            .set({ scopes: '[]', consented: '[]' })
            .where('tenant', '=', tenant)
            .where('user_id', '=', user)
            .where('app_id', '=', app)
            .execute()
          return true
        },
      }),

    /** One browser session and everything that came of it; the user's other sessions notice nothing. */
    async revokeSession(actor: Actor, sid: string, reason: string): Promise<Committed<boolean>> {
      const done = await store.commit(endSession(actor, sid, reason, 'sign-in'))
      if (done.result) onSignedOut([sid])
      return done
    },

    revokeToken: (actor: Actor, token: RevokedToken, reason: string) => store.commit(endToken(actor, token, reason)),

    /**
     * One access token of which only the id is known, so it is known to guards for as long as any token could be good. It cannot widen to what is not known: beyond
     * the bound it is refused, and nothing was promised.
     * @throws CaegisError `too_many_tokens`
     */
    revokeTokenId: (actor: Actor, jti: string, reason: string) =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const { db } = context
          const home = await db.selectFrom('tenants').select(['last_iat', 'tokens_until']).where('id', '=', tenant).executeTakeFirstOrThrow()
          const known = await db.selectFrom('revoked_tokens').select('jti').where('tenant', '=', tenant).where('jti', '=', jti).executeTakeFirst()
          if (known) return
          if ((await count(context, 'owner', BY_ID)) >= TOKENS_OF_OWNER) throw new CaegisError('too_many_tokens', SERVER_ERRORS.too_many_tokens)
          await db.insertInto('revoked_tokens').values({ tenant, jti, owner: BY_ID, sid: null, until: home.tokens_until }).execute()
          publishToken(context, { jti, iat: home.last_iat, exp: home.tokens_until }, reason)
        },
      }),

    /** The same as parts of a transaction that does more. */
    changes: {
      revokeSession: (actor: Actor, sid: string, reason: string) => endSession(actor, sid, reason, 'sign-in'),
      /** The access tokens of one session: each of its applications asks again, and a refresh token that is still good gets an answer. */
      reevaluateSession: (actor: Actor, sid: string, reason: string) => endSession(actor, sid, reason, 'access'),
      revokeToken: endToken,
    },
  }
}
