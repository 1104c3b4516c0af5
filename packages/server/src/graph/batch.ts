import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Api } from './api.ts'
import { badRequest, errorBody } from './errors.ts'

/** As many as Graph takes. */
const MOST = 20
const id = z.string().min(1).max(64)
const batch = z.strictObject({
  requests: z
    .array(
      z.strictObject({
        id,
        method: z.enum(['GET', 'POST', 'PATCH', 'DELETE']),
        /** Below `/v1.0`. */
        url: z.string().max(8192).startsWith('/'),
        headers: z.record(z.string().max(64), z.string().max(1024)).optional(),
        body: z.unknown().optional(),
        dependsOn: z.array(id).max(MOST).optional(),
      }),
    )
    .min(1)
    .max(MOST),
})

/** What a request of a batch may say beside the batch's own headers, and what its answer says. */
const TAKEN = new Set(['content-type', 'consistencylevel', 'prefer', 'if-match', 'client-request-id'])
/** In Graph's spelling: its client looks for exactly that. */
const GIVEN = ['Content-Type', 'Location', 'caegis-txn', 'Preference-Applied', 'WWW-Authenticate', 'Retry-After']
const NESTED = 'caegis-batch'

/**
 * `$batch`: up to twenty requests, one after the other in their order. Each goes the way that it would go alone, with the token of the batch: through the guard, its own
 * permissions and its own transaction. A revocation among them holds for those after it.
 */
export function registerBatch({ origin, route }: Api, app: FastifyInstance): void {
  const mark = randomUUID()

  route(
    'POST',
    '/$batch',
    { does: 'Answers up to 20 requests', needs: 'each alone', body: batch },
    async ({ settled }, request, _reply, { requests }) => {
      if (request.headers[NESTED] === mark) throw badRequest('A batch holds no batch.')
      const seen = new Map<string, number>()
      for (const { id, dependsOn = [] } of requests) {
        if (seen.has(id)) throw badRequest('Two requests have the same id.')
        if (!dependsOn.every((one) => seen.has(one))) throw badRequest('dependsOn must name requests that stand before.')
        seen.set(id, 0)
      }
      const responses: object[] = []
      for (const { id, method, url, headers = {}, body, dependsOn = [] } of requests) {
        const { status, ...answer } = dependsOn.every((one) => (seen.get(one) as number) < 300)
          ? await ask(method, url, headers, body)
          : { status: 424, headers: {}, body: errorBody('FailedDependency', 'A request that this one depends on has failed.', undefined) }
        seen.set(id, status)
        responses.push({ id, status, ...answer })
      }
      return { responses }

      async function ask(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', url: string, given: Record<string, string>, body: unknown) {
        // Dot segments would lead out of the API.
        const target = URL.parse(`/v1.0${url}`, origin)
        if (!target?.href.startsWith(`${origin}/v1.0/`)) return refusal('The URL leads nowhere.')
        const taken = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value] as const)
        const foreign = taken.find(([name]) => !TAKEN.has(name))
        if (foreign) return refusal(`The header '${foreign[0].slice(0, 40)}' is not supported in a batch.`)
        const answer = await app.inject({
          method,
          url: target.pathname + target.search,
          // Whose address it is, is read as for the batch itself.
          ...(request.socket.remoteAddress === undefined ? {} : { remoteAddress: request.socket.remoteAddress }),
          headers: {
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...(request.headers['x-forwarded-for'] === undefined ? {} : { 'x-forwarded-for': request.headers['x-forwarded-for'] }),
            ...{ ...Object.fromEntries(taken), authorization: String(request.headers.authorization), [NESTED]: mark },
          },
          ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
        })
        // Alone, the next request would take longer to come than the guard takes to hear of this one.
        if (answer.headers['caegis-txn'] !== undefined) await settled()
        const text = answer.payload
        const isJson = String(answer.headers['content-type'] ?? '').startsWith('application/json')
        const said = GIVEN.flatMap((name) => {
          const value = answer.headers[name.toLowerCase()]
          return value === undefined ? [] : [[name, String(value)]]
        })
        return { status: answer.statusCode, headers: Object.fromEntries(said), ...(text === '' ? {} : { body: isJson ? JSON.parse(text) : text }) }
      }
    },
  )
}

function refusal(message: string) {
  return { status: 400, headers: {}, body: errorBody('Request_BadRequest', message, undefined) }
}
