import type { Directory } from '../directory/directory.ts'
import type { Ending } from './attempt.ts'

/** Makes known what a request has brought to an end, in one change: every API hears of it. */
export async function endByRequest(directory: Directory, ending: Ending): Promise<void> {
  const { reason } = ending
  if (ending.kind === 'token') {
    const { user } = ending.token
    await directory.revokeToken(user === undefined ? { kind: 'system', reason } : { kind: 'holder', user }, ending.token, reason)
    return
  }
  const actor = ending.by === undefined ? ({ kind: 'system', reason } as const) : ({ kind: 'holder', user: ending.by } as const)
  if (ending.kind === 'session') await directory.revokeSession(actor, ending.sid, reason)
  else await directory.reevaluateSession(actor, ending.sid, reason)
}
