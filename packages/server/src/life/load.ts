import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { html, send, withWait } from '../issuer/answer.ts'
import { messagePage } from '../issuer/pages.ts'

/** Kinds of requests, each with room of its own, so that a storm of one is no silence of another: sign-ins never keep a guard from its stream. */
export const KINDS = ['probe', 'open', 'files', 'signIn', 'token', 'poll', 'signals', 'admin', 'live'] as const
export type Kind = (typeof KINDS)[number]

/**
 * How many of each are worked on at a time. A token takes about a millisecond of a core and may wait for a second to pass (a cutoff of this very second), so these are
 * about a second of work: who comes later is told to come back, which costs next to nothing, instead of everybody waiting for ever. Polls are held, and have a bound of
 * their own (signals/holds.ts).
 */
export const BOUNDS: Readonly<Record<Kind, number>> = {
  probe: Number.POSITIVE_INFINITY,
  open: 2048,
  files: 512,
  signIn: 512,
  token: 1024,
  poll: Number.POSITIVE_INFINITY,
  signals: 512,
  admin: 512,
  live: 1024,
}
/** Further token requests for which there is room when they are for streams: a guard that comes back after a storm is not the last of a line. */
const FOR_STREAMS = 64

export interface Load {
  /** Worked on now. */
  underWay(kind: Kind): number
  /** Answers so far, by status. */
  answered(kind: Kind): ReadonlyMap<number, number>
  /** How many were sent away. */
  refused(kind: Kind): number
  /** Sends somebody away for whom there is no room (429), in the words that this kind of client reads. */
  refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply
}

/**
 * Bounds what is worked on at a time. There is no line to wait in: the socket is one already, and what waits here would hold memory. The delay of the event loop is
 * measured (metrics.ts) and decides nothing: a noisy neighbour or one large answer delays it, too, and where it is late because of work, requests pile up here by themselves.
 */
export function createLoad(app: FastifyInstance, bounds: Partial<Record<Kind, number>> = {}): Load {
  const bound = { ...BOUNDS, ...bounds }
  const figures = Object.fromEntries(KINDS.map((kind) => [kind, { underWay: 0, refused: 0, answered: new Map<number, number>() }])) as Record<
    Kind,
    { underWay: number; refused: number; answered: Map<number, number> }
  >
  const kinds = new WeakMap<FastifyRequest, Kind>()
  const kindOf = (request: FastifyRequest): Kind => kinds.get(request) ?? 'open'
  const isFull = (kind: Kind, more = 0) => figures[kind].underWay >= bound[kind] + more

  function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const kind = kindOf(request)
    figures[kind].refused++
    // Not all of them at once again.
    const seconds = 1 + Math.floor(Math.random() * 5)
    if (kind === 'signIn') return send(reply, withWait(html(429, busyPage(seconds)), seconds))
    void reply.code(429).headers({ 'retry-after': String(seconds), 'cache-control': 'no-store' })
    const text = 'The server has too much to do at once. Try again a little later.'
    if (kind === 'admin' || kind === 'live') return reply.send({ error: { code: 'TooManyRequests', message: text } })
    // It tells nothing of anybody, so every page may read it.
    void reply.headers({ 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' })
    return reply.send({ error: 'temporarily_unavailable', error_description: text })
  }

  // Before a token is looked at or a body is read: sending somebody away must be cheaper than serving them.
  app.addHook('onRequest', (request, reply, done) => {
    const kind = readKind(request)
    kinds.set(request, kind)
    reply.raw.once('close', () => {
      const { answered } = figures[kind]
      answered.set(reply.statusCode, (answered.get(reply.statusCode) ?? 0) + 1)
    })
    if (isFull(kind, kind === 'token' ? FOR_STREAMS : 0)) refuse(request, reply)
    else done()
  })
  // A place is taken when the body is there: who sends it byte by byte keeps nobody out.
  app.addHook('preHandler', (request, reply, done) => {
    // Whoever left while it was found out who they are would never give the place back; nothing is begun for them.
    if (reply.raw.destroyed) return
    const kind = kindOf(request)
    if (isFull(kind, kind === 'token' && isForStreams(request.body) ? FOR_STREAMS : 0)) {
      refuse(request, reply)
      return
    }
    figures[kind].underWay++
    reply.raw.once('close', () => figures[kind].underWay--)
    done()
  })

  return {
    underWay: (kind) => figures[kind].underWay,
    answered: (kind) => figures[kind].answered,
    refused: (kind) => figures[kind].refused,
    refuse,
  }
}

/** Routes by how they begin behind the tenant's name; what is not here is open to all and costs little. */
const BEGINNINGS: readonly (readonly [string, Kind])[] = [
  ['/healthz', 'probe'],
  ['/readyz', 'probe'],
  ['/metrics', 'probe'],
  // Large, and anybody's: of those who never read them, neither guards nor administrators notice anything.
  ['/v1.0/openapi.json', 'files'],
  ['/assets/:name', 'files'],
  ['/console', 'files'],
  ['/v1.0/', 'admin'],
  ['/:tenant/scim/', 'admin'],
  ['/:tenant/global-token-revocation', 'admin'],
  ['/:tenant/ssf/poll/', 'poll'],
  ['/:tenant/ssf/', 'signals'],
  ['/:tenant/upstream/', 'signals'],
  ['/:tenant/oauth2/v2.0/authorize', 'signIn'],
  ['/:tenant/oauth2/v2.0/logout', 'signIn'],
  ['/:tenant/oauth2/v2.0/devicecode', 'token'],
  ['/:tenant/oauth2/v2.0/device', 'signIn'],
  ['/:tenant/oauth2/', 'token'],
  ['/:tenant/openid/', 'token'],
  ['/:tenant/signin/', 'signIn'],
  ['/:tenant/consent/', 'signIn'],
  ['/:tenant/account', 'signIn'],
]
const known = new Map<string, Kind>()

function readKind({ routeOptions, headers }: FastifyRequest): Kind {
  const url = routeOptions.url ?? ''
  let kind = known.get(url)
  if (kind === undefined) {
    kind = BEGINNINGS.find(([beginning]) => url.startsWith(beginning))?.[1] ?? 'open'
    known.set(url, kind)
  }
  return kind === 'admin' && headers.accept?.includes('text/event-stream') ? 'live' : kind
}

/** What a guard asks for with the secret of its API; whether it is so is found out by who answers. */
function isForStreams(body: unknown): boolean {
  if (typeof body !== 'string') return false
  const form = new URLSearchParams(body)
  return form.get('grant_type') === 'client_credentials' && /(^|\s)ssf\./.test(form.get('scope') ?? '')
}

const busyPage = (seconds: number) =>
  messagePage(
    { displayName: 'Sign in' },
    'Too much to do',
    `Very many people are signing in at this moment. Go back and try again in ${seconds === 1 ? 'a second' : `${seconds} seconds`}.`,
  )
