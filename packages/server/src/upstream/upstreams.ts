import { isDeepStrictEqual } from 'node:util'
import type { SecurityEvent } from '@caegis/protocol'
import {
  createReceiver,
  type PushAnswer,
  type PushRequest,
  type ReceivedEvent,
  type Receiver,
  type ReceiverOptions,
  type ReceiverStatus,
} from '@caegis/ssf/receiver'
import type { Upstream, UpstreamCredentials } from '../directory/upstream.ts'
import type { UpstreamRegistry, UpstreamSecrets } from '../directory/upstreams.ts'
import type { Log } from '../log.ts'
import type { Held, Work } from '../store/leases.ts'
import type { Store } from '../store/store.ts'
import type { Act } from './act.ts'
import { wantedTypes } from './meaning.ts'
import { createMemory } from './memory.ts'
import { countOutcome, readOutcomes, type UpstreamCount } from './outcomes.ts'

export interface UpstreamsOptions {
  store: Store
  log: Log
  now: () => number
  tenant: { id: string; base: string }
  registry: UpstreamRegistry
  act: Act
  /** Has one server at a time listen and act; what is pushed, each of them takes in. */
  hold(begin: () => Work): Held
  /** A way out of its own for each, so that one that holds its connections starves nobody else. */
  connect(): { fetch: typeof fetch; close(): Promise<void> }
}

export interface UpstreamStatus extends Pick<ReceiverStatus, 'state' | 'undelivered' | 'waiting' | 'counts'> {
  stream: string | null
  /** Milliseconds: when the transmitter last answered a poll, or pushed. */
  heardAt: number | null
  /** Code of the last failure, until something succeeds. */
  error: string | null
  /** How often its stream was lost: what happened in between is unknown. */
  gaps: number
  lastGapAt: number | null
  /** Nothing can be relied on: it is not running, fails, or was not heard of. */
  stale: boolean
  outcomes: UpstreamCount[]
}

/** The receivers of one tenant. */
export interface Upstreams {
  /** From now on there is a receiver for each upstream that is enabled. */
  run(): Promise<void>
  /** The table was changed. */
  changed(): Promise<void>
  status(id: string): Promise<UpstreamStatus>
  /** Takes what an upstream pushes; undefined when there is none that does. */
  push(id: string, request: PushRequest): Promise<PushAnswer | undefined>
  close(): Promise<void>
}

/** What is kept of a stream, in the upstream's own row. */
interface State {
  stream?: string
  gaps?: number
  lastGapAt?: number
}

/** What the server that listens says of one. */
interface Heard {
  status: ReceiverStatus
  /** Milliseconds. */
  since: number
}

interface Running {
  upstream: Upstream
  secrets: UpstreamSecrets
  receiver: Receiver
  /** Ends when the receiver has started or was closed. */
  started: Promise<void>
  close(options?: { delete?: boolean }): Promise<void>
}

/** Milliseconds between two looks at what there is to listen to, and between two attempts at a transmitter that refuses. */
const LOOK = 5000
const AGAIN = 30_000
/** Milliseconds without an answer to a poll, which is held for a minute at most. */
const SILENT = 120_000
const EMPTY: ReceiverStatus['counts'] = { handled: 0, unhandled: 0, duplicates: 0, discarded: 0, ignored: 0, refused: 0, failed: 0, lost: 0 }
/** What those wait for who listen, with the tenant's id; no tenant has such an id. Without a space: behind one, a message that wakes has a position. */
const CHANNEL = 'upstreams:'
const MEMBERS = ['session', 'application', 'device', 'user', 'tenant', 'group', 'org_unit']

export function createUpstreams({ store, log, now, tenant, registry, act, hold, connect }: UpstreamsOptions): Upstreams {
  const running = new Map<string, Running>()
  const since = new Map<string, number>()
  /** Those that could not be opened as they are. */
  const unfit = new Map<string, Upstream>()
  const closing = new AbortController()
  let active = false
  /** It is this server that listens. */
  let acting = false
  let turn: Promise<void> = Promise.resolve()
  let held: Held | undefined
  let following: Promise<void> | undefined
  const state = (id: string) => store.db.selectFrom('upstreams').select('state').where('tenant', '=', tenant.id).where('id', '=', id)
  const readState = async (id: string): Promise<State> => JSON.parse((await state(id).executeTakeFirst())?.state ?? '{}')
  const writeState = (id: string, given: State) =>
    store.db
      .updateTable('upstreams')
      .set({ state: JSON.stringify(given) })
      .where('tenant', '=', tenant.id)
      .where('id', '=', id)
      .execute()

  /** One change after the other. */
  const next = (work: () => Promise<void>): Promise<void> => {
    const done = turn.then(work)
    turn = done.catch(() => {})
    return done
  }

  async function sync(): Promise<void> {
    if (!active) return
    const wanted = new Map((await registry.list()).map((one) => [one.id, one]))
    for (const [id, one] of running) {
      const upstream = wanted.get(id)
      if (upstream?.enabled && isDeepStrictEqual(upstream, one.upstream) && isDeepStrictEqual(await registry.secretsOf(id), one.secrets)) continue
      running.delete(id)
      // What is only switched off, or heard otherwise, goes on holding events for us.
      const over = acting && (upstream === undefined || upstream.delivery !== one.upstream.delivery || upstream.audience !== one.upstream.audience)
      await one.close({ delete: over })
      if (upstream && over) {
        const { stream: _, ...rest } = await readState(id)
        await writeState(id, rest)
      }
    }
    for (const [id, upstream] of wanted) {
      if (!upstream.enabled || running.has(id) || isDeepStrictEqual(unfit.get(id), upstream)) continue
      // To make the stream is for the one that listens: two would make two.
      if (!acting && (upstream.delivery !== 'push' || (await readState(id)).stream === undefined)) continue
      try {
        running.set(id, open(upstream, await registry.secretsOf(id)))
        unfit.delete(id)
      } catch (error) {
        unfit.set(id, upstream)
        // One that cannot be opened keeps neither the others nor the server from starting; it shows as closed.
        log.error('an upstream cannot be listened to', { tenant: tenant.id, upstream: id, message: (error as Error).message })
      }
    }
  }

  function open(upstream: Upstream, secrets: UpstreamSecrets): Running {
    const { id, issuer, delivery, audience, issuers, domains, actions } = upstream
    const { credentials, authorizationHeader } = secrets
    const dial = connect()
    const closing = new AbortController()
    const note = (message: string, fields: object = {}) => ({
      message: `upstream: ${message}`,
      fields: { tenant: tenant.id, upstream: id, ...fields },
    })
    const own = (level: keyof Log) => (message: string, fields?: object) => {
      const { message: text, fields: all } = note(message, fields)
      log[level](text, all)
    }
    const receiver = createReceiver({
      transmitter: issuer,
      credentials: credentialsOf(credentials),
      delivery: delivery === 'poll' ? 'poll' : { push: { endpointUrl: `${tenant.base}/upstream/${id}`, authorizationHeader } },
      ...(audience === null ? {} : { audience }),
      events: wantedTypes(actions),
      description: `CAEgis ${id}`,
      on: { '*': (event) => heed(upstream, event) },
      understands: MEMBERS,
      trust: { issuers, domains },
      ...createMemory(store, { tenant: tenant.id, upstream: id }, () => acting),
      onFailed: (event) => lost(upstream, event),
      reenable: true,
      ...{ maxEvents: 50, maxAnswer: MAX_ANSWER },
      ...{ fetch: dial.fetch, now },
      log: { debug: own('debug'), info: own('info'), warn: own('warn'), error: own('error') },
    })
    const start = async () => {
      while (!closing.signal.aborted) {
        try {
          await receiver.start()
          return acting ? await noteStream(id, receiver) : undefined
        } catch (error) {
          if (closing.signal.aborted) return
          own('warn')('the transmitter refuses; it is tried again', { code: (error as { code?: string }).code ?? 'internal' })
          await new Promise<void>((resolve) => {
            const later = setTimeout(resolve, AGAIN)
            closing.signal.addEventListener('abort', () => [clearTimeout(later), resolve()], { once: true })
          })
        }
      }
    }
    since.set(id, now())
    const started = start()
    return {
      ...{ upstream, secrets, receiver, started },
      async close(options) {
        closing.abort()
        await receiver.close(options)
        await started
        await dial.close()
      },
    }
  }

  async function heed(upstream: Upstream, event: ReceivedEvent): Promise<void> {
    // The receiver has drawn its conclusions already.
    if (event.name === 'stream-updated') return
    await act(upstream, event)
  }

  async function lost({ id: upstream }: Upstream, event: SecurityEvent): Promise<void> {
    await countOutcome(store.db, { tenant: tenant.id, upstream, outcome: 'lost', at: Math.floor(store.clock()) }, event)
  }

  /** A stream that took the place of another began without what the other held. */
  async function noteStream(id: string, receiver: Receiver): Promise<void> {
    const { stream } = receiver.status()
    if (stream === undefined) return
    const known = await readState(id)
    if (known.stream === stream) return
    const gap = known.stream !== undefined
    if (gap) log.error('an upstream has lost its stream: what it said meanwhile will never come', { tenant: tenant.id, upstream: id })
    await writeState(id, { ...known, stream, ...(gap && { gaps: (known.gaps ?? 0) + 1, lastGapAt: Math.floor(store.clock()) }) })
  }

  /** Another server may have edited the table, or have taken in what was pushed. */
  async function look(): Promise<void> {
    await sync()
    if (!acting) return
    for (const [id, { receiver, upstream }] of running) {
      await noteStream(id, receiver)
      if (upstream.delivery === 'push') await receiver.resume()
    }
  }

  async function follow(): Promise<void> {
    while (!closing.signal.aborted) {
      const woken = store.wait(CHANNEL + tenant.id, Number.MAX_SAFE_INTEGER, AbortSignal.any([closing.signal, AbortSignal.timeout(LOOK)]))
      await next(look).catch((error: Error) => log.error('upstreams cannot be looked at', { message: error.message }))
      await woken
    }
  }

  /** Receivers begin anew, with what is in the queue, where this server begins to listen; where it has ended, those that are pushed to come back with the next look. */
  function take(over: boolean): Promise<void> {
    acting = over
    return next(async () => {
      const all = [...running.values()]
      running.clear()
      await Promise.all(all.map((one) => one.close()))
      if (over) await sync()
    })
  }

  function begin(): Work {
    take(true).catch((error: Error) => log.error('upstreams cannot be listened to', { message: error.message }))
    return {
      close: () => take(false),
      report: (): Record<string, Heard> =>
        Object.fromEntries([...running].map(([id, { receiver }]) => [id, { status: receiver.status(), since: since.get(id) ?? 0 }])),
    }
  }

  return {
    async run() {
      active = true
      held ??= hold(begin)
      following ??= follow()
      await next(sync)
    },
    async changed() {
      await next(sync)
      store.wake(CHANNEL + tenant.id)
    },
    async status(id) {
      const one = running.get(id)
      if (one && acting) await noteStream(id, one.receiver)
      const { gaps = 0, lastGapAt = null } = await readState(id)
      const heard = ((await held?.report()) as Record<string, Heard> | undefined)?.[id]
      const status = heard?.status
      const upstream = await registry.find(id)
      const enabled = upstream?.enabled === true
      const heardAt = status?.heardAt ?? null
      const silent = upstream?.delivery === 'poll' && now() - (heardAt ?? heard?.since ?? 0) > SILENT
      return {
        state: status?.state ?? 'closed',
        stream: status?.stream ?? null,
        ...{ heardAt, gaps, lastGapAt },
        error: status?.error ?? null,
        stale: enabled && (status?.state !== 'running' || status.error !== undefined || silent),
        undelivered: status?.undelivered ?? [],
        waiting: status?.waiting ?? 0,
        counts: status?.counts ?? EMPTY,
        outcomes: await readOutcomes(store.db, tenant.id, id),
      }
    },
    async push(id, request) {
      if (!running.has(id)) {
        const upstream = await registry.find(id)
        if (!upstream?.enabled || upstream.delivery !== 'push') return undefined
        await next(sync)
      }
      const one = running.get(id)
      // There is none yet: it comes again.
      if (!one) return { status: 503, headers: { 'retry-after': '1' } }
      if (one.upstream.delivery !== 'push') return undefined
      const answer = await one.receiver.handler(request)
      if (!acting && answer.status === 202) store.wake(CHANNEL + tenant.id)
      return answer
    },
    async close() {
      active = false
      closing.abort()
      await held?.close()
      await following
      await turn
      await Promise.all([...running.values()].map((one) => one.close()))
    },
  }
}

/** Bytes of a poll's answer: fifty SETs of the greatest length that is read. */
export const MAX_ANSWER = 4 * 1024 * 1024

function credentialsOf(given: UpstreamCredentials): ReceiverOptions['credentials'] {
  if ('accessToken' in given) return { token: async () => given.accessToken }
  const { clientId, clientSecret, tokenEndpoint, scope } = given
  return { clientId, clientSecret, ...(tokenEndpoint === undefined ? {} : { tokenEndpoint }), ...(scope === undefined ? {} : { scope }) }
}
