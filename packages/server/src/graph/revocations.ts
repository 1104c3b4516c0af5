import type { Permission } from '../directory/permissions.ts'
import { type Api, pathOf } from './api.ts'
import { authorize } from './caller.ts'
import { notFound } from './errors.ts'
import type { Signals } from './signals.ts'
import type { Source, Sse } from './sse.ts'

const PERMISSIONS: [Permission, Permission] = ['SecurityEvents.Read.All', 'User.Read.All']

/** How far a change has come, by its txn: the proof that a revocation arrived. As an event stream, each time it changes until every receiver has it. */
export function registerRevocations({ origin, route }: Api, sse: Sse): void {
  route('GET', '/caegis/revocations/:txn', { does: 'Shows how far a change has come', needs: PERMISSIONS }, async (caller, request, reply) => {
    const txn = pathOf(request, 'txn')
    const proof = await caller.signals.deliveries.proof(txn)
    if (!proof) throw notFound()
    if (sse.wanted(request))
      return sse.send(caller, reply, () => authorize(caller, ...PERMISSIONS), watch(caller.signals, txn, proof.events.at(-1)?.seq as number))
    return { '@odata.context': `${origin}/v1.0/$metadata#caegis/revocations/$entity`, ...proof }
  })
}

function watch({ deliveries }: Signals, txn: string, seq: number): Source {
  return async function* (signal, beat) {
    let said = ''
    while (!signal.aborted) {
      // Waiting begins before the look, so that nothing falls between both. Whom the event does not concern passes it without a word: hence the beat.
      const changed = deliveries.changed(seq, beat())
      const proof = await deliveries.proof(txn)
      if (!proof) return
      const text = JSON.stringify(proof)
      yield text === said ? [] : [{ event: 'proof', data: proof }]
      said = text
      if (proof.receivers.every(({ complete }) => complete)) return
      await changed
    }
  }
}
