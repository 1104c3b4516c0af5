import { CaegisError, EVENT, event } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import type { Artifacts } from '../store/artifacts.ts'
import type { Proof } from '../store/change.ts'
import type { Store } from '../store/store.ts'
import type { Directory } from './directory.ts'
import { holdSession } from './restamp.ts'
import { remediateRisk } from './risk.ts'

export interface OwnPassword {
  user: string
  /** The hash that the old password was verified against. */
  from: string
  /** The hash of the new one. */
  to: string
  proof: Proof
  /** What was proved, as RFC 8176 names it. */
  amr: readonly string[]
}

/**
 * A user gives themselves a new password. Everything of the user ends, but for the session (or the half-done sign-in) that did it. With a second factor proved besides,
 * nobody who has the old password can be behind it: whatever risk was seen in the user is over.
 * @returns the cutoff (seconds): the change counts as a proof of the second after it
 * @throws CaegisError `actor_revoked` when the proof is no longer good or the password was changed meanwhile
 */
export async function changeOwnPassword(
  store: Store,
  tenant: { id: string; issuer: string; artifacts: Artifacts; directory: Pick<Directory, 'sayingWhich'> },
  { user, from, to, proof, amr }: OwnPassword,
): Promise<number> {
  const run = () =>
    store.commit({
      tenant: tenant.id,
      actor: { kind: 'holder', user, proof },
      async edit(context) {
        const { numUpdatedRows } = await context.db
          .updateTable('users')
          .set((eb) => ({ password: to, password_at: context.now, password_expired: 0, version: eb('version', '+', 1) }))
          .where('tenant', '=', tenant.id)
          .where('id', '=', user)
          .where('password', '=', from)
          .executeTakeFirst()
        if (numUpdatedRows !== 1n) throw new CaegisError('actor_revoked', SERVER_ERRORS.actor_revoked, { detail: 'password' })
        const held = proof.sid === undefined ? undefined : await holdSession(context, tenant.artifacts, user, proof.sid)
        const about = { format: 'iss_sub', iss: tenant.issuer, sub: user } as const
        context.publish({
          ...event(EVENT.credentialChange, { credential_type: 'password', change_type: 'update' }),
          subject: { simple: about, complex: { format: 'complex', user: about } },
          reason: 'The user changed the password',
          cut: { kind: 'user', id: user, depth: 'sign-in' },
          ...(held ? { after: held.restamp } : {}),
        })
        if (amr.includes('mfa')) await remediateRisk(context, tenant.issuer, user)
      },
    })
  const { t } = await tenant.directory.sayingWhich(user, run)
  return t as number
}
