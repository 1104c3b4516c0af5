import type { KeyInfo } from '../directory/keys.ts'
import { type Api, pathOf, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { parseQuery } from './query.ts'

/** The tenant's signing keys: what is published, what signs, a successor before its time, and the end of one that got into wrong hands. */
export function registerKeys({ origin, route }: Api): void {
  route('GET', '/caegis/keys', async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'Organization.Read.All')
    return { '@odata.context': `${origin}/v1.0/$metadata#caegis/keys`, value: (await caller.tenant.keys.list()).map(shape) }
  })

  route('POST', '/caegis/keys/rotate', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'Organization.ReadWrite.All')
    const done = await caller.tenant.keys.rotate(actor)
    return written(reply, done).send({ value: (await caller.tenant.keys.list()).map(shape), created: done.result, txn: done.txn })
  })

  route('DELETE', '/caegis/keys/:kid', async (caller, request, reply) => {
    parseQuery(searchOf(request), [])
    const actor = await authorize(caller, 'Organization.ReadWrite.All')
    return written(reply, await caller.tenant.keys.remove(actor, pathOf(request, 'kid')))
      .code(204)
      .send()
  })
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
