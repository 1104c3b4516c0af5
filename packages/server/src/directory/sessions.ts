import { type ComplexSubject, type CutoffDepth, EVENT } from '@caegis/protocol'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
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

/** Single tokens of one session, and of one user or daemon, that may be cut off at a time; beyond it the next wider cutoff takes their place. */
export const TOKENS_OF_SESSION = 20
export const TOKENS_OF_OWNER = 60

/** Sessions and single tokens: what ends without the rest of the user's access. */
export function createSessions(store: Store, tenant: string, issuer: string) {
  const complexOf = (user: string | undefined, more: Omit<ComplexSubject, 'format'>): { complex: ComplexSubject } => ({
    complex: { format: 'complex', ...(user === undefined ? {} : { user: { format: 'iss_sub', iss: issuer, sub: user } }), ...more },
  })

  const endSession = (actor: Actor, sid: string, reason: string, depth: CutoffDepth): Promise<Committed<boolean>> =>
    store.commit({
      tenant,
      actor,
      async edit(context) {
        const session = await context.db
          .selectFrom('sessions')
          .select('user_id')
          .where('tenant', '=', tenant)
          .where('id', '=', sid)
          .executeTakeFirst()
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

  return {
    /** One browser session and everything that came of it; the user's other sessions notice nothing. */
    revokeSession: (actor: Actor, sid: string, reason: string) => endSession(actor, sid, reason, 'sign-in'),

    /** The access tokens of one session: each of its applications asks again, and a refresh token that is still good gets an answer. */
    reevaluateSession: (actor: Actor, sid: string, reason: string) => endSession(actor, sid, reason, 'access'),

    /**
     * One access token. Guards keep a cutoff for each, so there is a bound: beyond it the cutoff widens to the session, then to the user (or the daemon), all of whose
     * tokens are asked for again. It is never dropped.
     */
    revokeToken: (actor: Actor, token: RevokedToken, reason: string) =>
      store.commit({
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
                : [
                    { simple: { format: 'iss_sub', iss: issuer, sub: user } as const, ...complexOf(user, {}) },
                    { kind: 'user', id: user, depth } as const,
                  ]
            context.publish({ type, subject, reason, cut })
          } else if (user !== undefined && sid !== undefined && (await count(context, 'sid', sid)) >= TOKENS_OF_SESSION) {
            context.publish({
              type,
              subject: complexOf(user, { session: { format: 'opaque', id: sid } }),
              reason,
              cut: { kind: 'session', id: sid, depth },
            })
          } else {
            const one = { format: 'jwt_id', iss: issuer, jti } as const
            await db
              .insertInto('revoked_tokens')
              .values({ tenant, jti, owner, sid: sid ?? null, until: exp })
              .execute()
            context.publish({ type, subject: { simple: one, complex: one }, reason, cut: { kind: 'token', id: jti, iat, exp, depth } })
          }
        },
      }),
  }
}
