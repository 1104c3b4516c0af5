import { setTimeout as pause } from 'node:timers/promises'
import type { Permission } from '../directory/permissions.ts'
import { type Api, pathOf } from './api.ts'
import { type Admitted, authorize } from './caller.ts'
import { notFound } from './errors.ts'
import { awaited, tellProof } from './proof.ts'
import type { Source, Sse } from './sse.ts'

const PERMISSIONS: [Permission, Permission] = ['SecurityEvents.Read.All', 'User.Read.All']

/** Milliseconds for which an event stream goes on once every receiver has the change: refusals and new sign-ins come after it. */
const GOES_ON = 10 * 60_000
/** Milliseconds between two looks: five hundred receivers that apply one event are a few messages. */
const GAP = 100

/** How far a change has come, by its txn: the proof that a revocation arrived. As an event stream, each time it changes. */
export function registerRevocations({ origin, route }: Api, sse: Sse): void {
  route(
    'GET',
    '/caegis/revocations/:txn',
    {
      ...{ does: 'Shows how far a change has come', needs: PERMISSIONS },
      more: { needs: 'AuditLog.Read.All', when: 'for `answers`' },
    },
    async (caller, request, reply) => {
      const txn = pathOf(request, 'txn')
      const proof = await caller.signals.deliveries.proof(txn)
      if (!proof) throw notFound()
      if (sse.wanted(request)) return sse.send(caller, reply, () => authorize(caller, ...PERMISSIONS), watch(caller, txn, proof.last))
      return { '@odata.context': `${origin}/v1.0/$metadata#caegis/revocations/$entity`, ...(await tellProof(caller, proof)) }
    },
  )
}

/** Each state of the proof, from now on until nothing more is to be expected of it. */
export function watch(caller: Admitted, txn: string, last: number, { goesOn = GOES_ON, gap = GAP } = {}): Source {
  const { deliveries } = caller.signals
  return async function* (signal, beat) {
    const whose = await awaited(caller, txn)
    let said = ''
    let complete: number | undefined
    while (!signal.aborted) {
      const over = new AbortController()
      const waiting = AbortSignal.any([beat(), over.signal])
      // Waiting begins before the look, so that nothing falls between both. Whom the event does not concern passes it without a word: hence the beat.
      const changed = Promise.race([deliveries.changed(last, waiting), caller.tenant.signIns.changed(whose, waiting)])
      const proof = await deliveries.proof(txn)
      if (!proof) return over.abort('over')
      const told = await tellProof(caller, proof)
      const text = JSON.stringify(told)
      yield text === said ? [] : [{ event: 'proof', data: told }]
      said = text
      if (proof.receivers.every((one) => one.complete)) complete ??= Date.now()
      else complete = undefined
      if (complete !== undefined && Date.now() - complete >= goesOn) return over.abort('over')
      await changed
      over.abort('over')
      // Somebody signs in at any time: of everybody's sign-ins hardly one belongs here.
      await pause(whose === 'all' ? 10 * gap : gap, undefined, { signal }).catch(() => {})
    }
  }
}
