import type { Artifacts, FoundArtifact } from '../store/artifacts.ts'
import type { ChangeContext } from '../store/change.ts'

/** What of a browser session was good before a change: it may bear an instant after the change's own cutoff. */
export interface HeldSession {
  /** @param t the cutoff (seconds): the session and everything of it count as proved in the second after it */
  restamp(t: number): Promise<void>
}

/** What bears the instant of a first factor, besides the session itself. */
const BEARERS = ['RefreshToken', 'AuthorizationCode', 'DeviceCode']

/**
 * Takes hold of the session in which a credential is being changed, before the change cuts everything else of the user off (threat A10). What had ended by then
 * (an application that was disabled, a consent that was withdrawn, a token that was replaced) is not taken along: a later instant would revive it.
 */
export async function holdSession({ db, tenant, now }: ChangeContext, artifacts: Artifacts, user: string, sid: string): Promise<HeldSession> {
  const lastOf = async (device: string | undefined, clientId?: string) => {
    const rows = [
      await db.selectFrom('tenants').select('valid_from').where('id', '=', tenant).executeTakeFirst(),
      await db.selectFrom('users').select('valid_from').where('tenant', '=', tenant).where('id', '=', user).executeTakeFirst(),
      await db.selectFrom('sessions').select('valid_from').where('tenant', '=', tenant).where('id', '=', sid).executeTakeFirst(),
    ]
    if (clientId !== undefined) {
      rows.push(
        await db.selectFrom('applications').select('valid_from').where('tenant', '=', tenant).where('app_id', '=', clientId).executeTakeFirst(),
        await db
          .selectFrom('grants')
          .select('valid_from')
          .where('tenant', '=', tenant)
          .where('user_id', '=', user)
          .where('app_id', '=', clientId)
          .executeTakeFirst(),
      )
    }
    if (device !== undefined) {
      rows.push(
        await db.selectFrom('devices').select('valid_from').where('tenant', '=', tenant).where('id', '=', device).executeTakeFirst(),
        await db
          .selectFrom('device_users')
          .select('valid_from')
          .where('tenant', '=', tenant)
          .where('user_id', '=', user)
          .where('device_id', '=', device)
          .executeTakeFirst(),
      )
    }
    return Math.max(0, ...rows.map((row) => row?.valid_from ?? 0))
  }

  const session = await artifacts.findByUid(db, 'Session', sid, now)
  const { accountId, loginTs, device, authorizations = {} } = (session?.payload ?? {}) as SessionPayload
  if (!session || accountId !== user || loginTs === undefined || loginTs <= (await lastOf(device))) return { restamp: async () => {} }
  const held: FoundArtifact[] = []
  for (const [clientId, { grantId }] of Object.entries(authorizations)) {
    if (grantId === undefined) continue
    for (const one of await artifacts.ofGrant(db, grantId, now)) {
      const { authTime, sessionUid, consumed, device: own } = one.payload as BearerPayload
      if (!BEARERS.includes(one.model) || sessionUid !== sid || consumed !== undefined || authTime === undefined) continue
      if (authTime > (await lastOf(own, clientId))) held.push(one)
    }
  }
  return {
    async restamp(t) {
      const kept = held.map((one) => ({ ...one, payload: { ...one.payload, authTime: t + 1 } }))
      await artifacts.write(db, [{ ...session, payload: { ...session.payload, loginTs: t + 1 } }, ...kept])
      await db
        .updateTable('sessions')
        .set({ auth_time: t + 1 })
        .where('tenant', '=', tenant)
        .where('id', '=', sid)
        .execute()
    },
  }
}

interface SessionPayload {
  accountId?: string
  loginTs?: number
  device?: string
  authorizations?: Record<string, { grantId?: string }>
}

interface BearerPayload {
  authTime?: number
  sessionUid?: string
  consumed?: unknown
  device?: string
}
