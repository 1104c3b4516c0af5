import { type Api, pathOf, searchOf } from './api.ts'
import { authorize } from './caller.ts'
import { notFound } from './errors.ts'
import { parseQuery } from './query.ts'

/** How far a change has come, by its txn: the proof that a revocation arrived. */
export function registerRevocations({ origin, route }: Api): void {
  route('GET', '/caegis/revocations/:txn', async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'User.Read.All')
    const proof = await caller.proof(pathOf(request, 'txn'))
    if (!proof) throw notFound()
    return { '@odata.context': `${origin}/v1.0/$metadata#caegis/revocations/$entity`, ...proof }
  })
}
