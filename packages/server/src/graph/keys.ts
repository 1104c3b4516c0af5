import type { KeyInfo } from '../directory/keys.ts'
import { type Api, pathOf, written } from './api.ts'

/** The tenant's signing keys: what is published, what signs, a successor before its time, and the end of one that got into wrong hands. */
export function registerKeys({ origin, route }: Api): void {
  route('GET', '/caegis/keys', { does: 'Lists the signing keys', needs: ['Organization.Read.All'] }, async (caller) => {
    return { '@odata.context': `${origin}/v1.0/$metadata#caegis/keys`, value: (await caller.tenant.keys.list()).map(shape) }
  })

  route(
    'POST',
    '/caegis/keys/rotate',
    { does: 'Publishes the next signing key before its time', needs: ['Organization.ReadWrite.All'] },
    async (caller, _request, reply) => {
      const done = await caller.tenant.keys.rotate(caller.actor)
      return written(reply, done).send({ value: (await caller.tenant.keys.list()).map(shape), created: done.result, txn: done.txn })
    },
  )

  route(
    'DELETE',
    '/caegis/keys/:kid',
    { does: 'Removes a signing key: what it signed is dead', needs: ['Organization.ReadWrite.All'] },
    async (caller, request, reply) => {
      return written(reply, await caller.tenant.keys.remove(caller.actor, pathOf(request, 'kid')))
        .code(204)
        .send()
    },
  )
}

const time = (second: number) => `${new Date(second * 1000).toISOString().slice(0, 19)}Z`

function shape({ kid, alg, state, createdAt, activeFrom, retiredAt }: KeyInfo): object {
  return {
    ...{ id: kid, alg, state },
    createdDateTime: time(createdAt),
    activeFromDateTime: time(activeFrom),
    retiredDateTime: retiredAt === null ? null : time(retiredAt),
  }
}
