import type { Directory } from '../directory/directory.ts'
import type { Ending } from './attempt.ts'

/**
 * Makes known what a request has brought to an end: every API hears of it by one change, and a client that asked for it by a logout token.
 * @param tell sends without anybody waiting for it
 */
export async function endByRequest(directory: Directory, tell: (uri: string, body: string) => void, ending: Ending): Promise<void> {
  if (ending.kind === 'logout') {
    tell(ending.uri, ending.body)
    return
  }
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
