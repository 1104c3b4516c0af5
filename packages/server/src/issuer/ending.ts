import type { Directory } from '../directory/directory.ts'
import { passRisk, raiseRisk } from '../directory/risk.ts'
import type { Change } from '../store/change.ts'
import type { Attempt, Ending } from './attempt.ts'

/** What ends by what the provider found, and by what was asked for. */
export function endingsOf({ endings, reused, replayed, removedGrants }: Attempt): Ending[] {
  const found: Ending[] = []
  if (reused) found.push({ kind: 'session', sid: reused.sid, reason: 'A refresh token that had been replaced was used again' })
  // The provider has looked at client, verifier and address of return before it takes the grant back: only then somebody really had the code.
  if (replayed && removedGrants.size > 0) found.push({ kind: 'lineage', sid: replayed.sid, reason: 'An authorization code was used again' })
  return [...found, ...endings]
}

/** The change by which every API hears of it; part of the transaction that lets the request's answer out, so that neither happens without the other. */
export function changeOf(directory: Directory, ending: Exclude<Ending, { kind: 'logout' }>): Change<unknown> {
  const { reason } = ending
  const by = ending.kind === 'token' ? ending.token.user : ending.by
  const actor = by === undefined ? ({ kind: 'system', reason } as const) : ({ kind: 'holder', user: by } as const)
  switch (ending.kind) {
    case 'token':
      return directory.changes.revokeToken(actor, ending.token, reason)
    case 'session':
      return directory.changes.revokeSession(actor, ending.sid, reason)
    case 'lineage':
      return directory.changes.reevaluateSession(actor, ending.sid, reason)
  }
}

/** What was found about somebody at this request, and what was answered by it; part of the same transaction. */
export function riskChanges({ id: tenant, issuer }: { id: string; issuer: string }, { found, passed }: Attempt): Change<void>[] {
  const changes: Change<void>[] = []
  if (found) {
    const actor = { kind: 'system', reason: 'risk detection' } as const
    changes.push({ tenant, actor, edit: (context) => raiseRisk(context, issuer, found) })
  }
  if (passed) {
    const actor = { kind: 'holder', user: passed.user } as const
    changes.push({ tenant, actor, edit: (context) => passRisk(context, issuer, passed.user, passed.signIn) })
  }
  return changes
}
