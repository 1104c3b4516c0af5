import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Lifetimes, lifetimesOf } from '../access/lifetime.ts'
import type { Committed } from '../directory/directory.ts'
import { organizationPatch } from '../directory/organization.ts'
import { type Api, written } from './api.ts'
import type { Caller } from './caller.ts'
import { badRequest, GraphError } from './errors.ts'
import { tellProof } from './proof.ts'
import type { ChangeProof, Signals } from './signals.ts'

const stopBody = z.strictObject({ confirmation: z.string().max(64).optional() }).optional()

const DAY = 24 * 3600
/** Seconds: the longest time for which an answer is held back. */
const MAX_WAIT = 10
/** Milliseconds after which is looked again although nothing was reported: whom an event does not concern passes it without a word. */
const LOOK_AGAIN = 250

/** The tenant itself: whether it is stopped, to stop it, and to resume it. */
export function registerOrganization({ origin, route }: Api): void {
  route('GET', '/caegis/organization', { does: 'Shows the tenant, and whether it is stopped', needs: ['Organization.Read.All'] }, async (caller) => {
    return shape(caller)
  })

  route(
    'GET',
    '/caegis/organization/reach',
    { does: 'Counts whom a stop of the tenant would hit', needs: ['Organization.Read.All'] },
    async ({ tenant, signals }) => {
      const streams = await signals.streams.allStreams()
      const listening = streams.filter(({ status }) => status === 'enabled').length
      return {
        '@odata.context': `${origin}/v1.0/$metadata#caegis/organization/reach`,
        ...(await tenant.directory.organization.reach()),
        streams: listening,
      }
    },
  )

  route(
    'PATCH',
    '/caegis/organization',
    {
      does: "Changes the tenant's name, how long its tokens live, and for how long its logs are kept",
      ...{ needs: ['Organization.ReadWrite.All'], body: organizationPatch },
    },
    async (caller, _request, reply, body) => {
      const { usual, directory } = caller.tenant
      const most = Math.floor(usual.logRetention / DAY)
      if ((body.logRetentionDays ?? 0) > most) throw badRequest(`logRetentionDays: this server keeps records for ${most} days at the most.`)
      const done = await directory.organization.update(caller.actor, body)
      await caller.renamed()
      return answer(caller, reply, done)
    },
  )

  route(
    'POST',
    '/caegis/organization/stop',
    { does: 'Stops the tenant', needs: ['Organization.ReadWrite.All'], body: stopBody },
    async (caller, request, reply, body) => {
      const { organization } = caller.tenant.directory
      const { name } = await organization.read()
      // A second key: a stop hits everybody, so nobody turns it by a slip.
      if (body?.confirmation !== name)
        throw new GraphError(400, 'confirmationRequired', `To stop the whole tenant, repeat this with its name: {"confirmation": "${name}"}.`)
      const done = await organization.stop(caller.actor)
      // The caller's own token is dead by now and could not ask how far the stop has come.
      const proof = await settled(caller.signals, done.txn, waitOf(request, reply))
      return answer(caller, reply, done, proof && { proof: await tellProof(caller, proof) })
    },
  )

  route(
    'POST',
    '/caegis/organization/resume',
    { does: 'Lets the tenant go on', needs: ['Organization.ReadWrite.All'] },
    async (caller, _request, reply) => {
      return answer(caller, reply, await caller.tenant.directory.organization.resume(caller.actor))
    },
  )

  async function answer(caller: Caller, reply: FastifyReply, done: Committed<boolean>, more: object = {}) {
    return written(reply, done).send({ ...(await shape(caller)), changed: done.result, txn: done.txn, ...more })
  }

  async function shape({ tenant }: Caller): Promise<object> {
    const { id, name, displayName, stoppedAt, tokenLifetimes, logRetentionDays } = await tenant.directory.organization.read()
    const { lifetimes, logRetention } = tenant.usual
    const most = logRetention / DAY
    return {
      '@odata.context': `${origin}/v1.0/$metadata#caegis/organization/$entity`,
      ...{ id, name, displayName },
      state: stoppedAt === null ? 'running' : 'stopped',
      stoppedDateTime: stoppedAt === null ? null : `${new Date(stoppedAt * 1000).toISOString().slice(0, 19)}Z`,
      tokenLifetimes: inWords(lifetimesOf(tokenLifetimes, lifetimes)),
      logRetentionDays: Math.min(logRetentionDays ?? most, most),
      serverDefaults: { tokenLifetimes: inWords(lifetimes), logRetentionDays: most },
    }
  }
}

/** Seconds, in the units that they are set in. */
function inWords({ ordinary, long, exception }: Lifetimes): object {
  const range = ([from, to]: Lifetimes['long'], unit: number) => ({ from: from / unit, to: to / unit })
  return { ordinaryMinutes: range(ordinary, 60), longLivedHours: range(long, 3600), exceptionMinutes: exception / 60 }
}

/** The seconds of `Prefer: wait=N` (RFC 7240 section 4.3), as far as they are granted; what cannot be read is no preference. */
function waitOf(request: FastifyRequest, reply: FastifyReply): number {
  const asked = /(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:[,;]|$)/i.exec(String(request.headers.prefer ?? ''))?.[1]
  if (asked === undefined) return 0
  const seconds = Math.min(Number(asked), MAX_WAIT)
  reply.header('preference-applied', `wait=${seconds}`)
  return seconds
}

/** How far a change has come when every receiver that is listening has it, or when the time is over. */
async function settled({ deliveries }: Signals, txn: string, seconds: number): Promise<ChangeProof | undefined> {
  const over = AbortSignal.timeout(seconds * 1000)
  for (;;) {
    const proof = await deliveries.proof(txn)
    const seq = proof?.events.at(-1)?.seq
    if (seq === undefined || over.aborted || proof?.receivers.every(({ status, complete }) => complete || status !== 'enabled')) return proof
    await deliveries.changed(seq, AbortSignal.any([over, AbortSignal.timeout(LOOK_AGAIN)]))
  }
}
