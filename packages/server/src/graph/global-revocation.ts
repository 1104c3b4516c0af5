import { CaegisError } from '@caegis/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Log } from '../log.ts'
import type { ApiOptions } from './api.ts'
import { type Admitted, authorize } from './caller.ts'
import { GraphError } from './errors.ts'

export interface GlobalRevocationOptions {
  log: Log
  admit: ApiOptions['admit']
  /** Counts one more call, by all processes, and says how many there were in this window of so many seconds. */
  spend(tenant: string, key: string, window: number): Promise<number>
}

const text = z.string().min(1).max(1024)
const subject = z.discriminatedUnion('format', [
  z.strictObject({ format: z.literal('email'), email: text }),
  z.strictObject({ format: z.literal('iss_sub'), iss: text, sub: text }),
  z.strictObject({ format: z.literal('opaque'), id: text }),
])
/** Drafts before -03, and products that follow them, say `subject`. */
const command = z.union([z.strictObject({ sub_id: subject }), z.strictObject({ subject }).transform((given) => ({ sub_id: given.subject }))])

/** Calls of one application in a minute: whoever may end sessions should not be able to try out who exists. */
const MOST = 60
const WINDOW = 60

/**
 * Global Token Revocation (draft-parecki-oauth-global-token-revocation): the one call by which an identity provider or a security product has everything of a user
 * ended. It needs a permission of its own, which no other includes, and works on the tenant of the token only.
 */
export function registerGlobalRevocation(app: FastifyInstance, { log, admit, spend }: GlobalRevocationOptions): void {
  const callers = new WeakMap<FastifyRequest, Admitted>()

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: 8 * 1024 }, (_request, body, done) => done(null, body))

  app.route({
    method: 'POST',
    url: '/:tenant/global-token-revocation',
    async onRequest(request, reply) {
      const caller = await admit(request, reply)
      if (!caller) return reply
      callers.set(request, caller)
      return undefined
    },
    async handler(request, reply) {
      const caller = callers.get(request) as Admitted
      const { tenant } = caller
      const by = String(caller.claims.azp)
      const answer = async (): Promise<{ status: number; error?: string; facts?: object }> => {
        const named = (request.params as { tenant: string }).tenant.toLowerCase()
        if (named !== tenant.name && named !== tenant.id) return { status: 403, error: 'the token is for another tenant' }
        const actor = await authorize(caller, 'global_token_revocation')
        if ((await spend(tenant.id, `global revocation ${by}`, WINDOW)) > MOST) return { status: 429, error: 'too many calls in a minute' }
        const read = command.safeParse(parse(request.body))
        if (!read.success) return { status: 400, error: 'sub_id must be of format email, iss_sub or opaque, and nothing else may be there' }
        const id = await idOf(caller, read.data.sub_id)
        if (id === undefined) return { status: 404, error: 'no such user' }
        const { txn } = await tenant.directory.revokeEverything(actor, id)
        return { status: 204, facts: { user: id, txn } }
      }
      const { status, error, facts } = await answer().catch(refusalOf)
      log.info('global token revocation', { audit: true, tenant: tenant.id, by, status, ...facts })
      return error === undefined
        ? reply.code(status).send()
        : reply.code(status).send({ error: CODES[status] ?? 'invalid_request', error_description: error })
    },
  })
}

const CODES: Record<number, string> = { 403: 'insufficient_scope', 404: 'not_found', 422: 'unprocessable', 429: 'too_many_requests' }

function parse(body: unknown): unknown {
  try {
    return JSON.parse(String(body))
  } catch {
    return undefined
  }
}

/** The one user whom a subject names; an address is the user name, and ids are exact. */
async function idOf({ tenant }: Admitted, named: z.infer<typeof subject>): Promise<string | undefined> {
  if (named.format === 'email') return (await tenant.directory.user(named.email))?.id
  if (named.format === 'iss_sub' && named.iss !== tenant.issuer) return undefined
  const id = named.format === 'opaque' ? named.id : named.sub
  const user = await tenant.directory.user(id)
  return user?.id === id ? id : undefined
}

function refusalOf(error: unknown): { status: number; error: string; facts?: object } {
  if (error instanceof GraphError) return { status: error.status, error: error.message }
  if (error instanceof CaegisError) {
    if (error.code === 'actor_revoked') return { status: 403, error: error.message }
    if (error.code === 'user_not_found') return { status: 404, error: 'no such user' }
    if (error.code === 'emergency_account') return { status: 422, error: error.message }
  }
  throw error
}
