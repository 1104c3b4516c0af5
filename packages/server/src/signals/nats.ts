import { FLEET_STREAM } from '@caegis/ssf/transmitter'
import { DiscardPolicy, JetStreamApiCodes, JetStreamApiError, jetstream, jetstreamManager, StorageType, type StreamAPI } from '@nats-io/jetstream'
import { connect, credsAuthenticator, type NatsConnection, type NodeConnectionOptions, nanos } from '@nats-io/transport-node'
import type { Log } from '../log.ts'
import type { NatsSettings } from '../settings.ts'
import type { Bus } from './fleet.ts'

/** Milliseconds: between two attempts, and for an answer of the broker. */
const PAUSE = 1000
const TIMEOUT = 5000

/**
 * What the broker keeps if it does not keep anything yet: for replicas that were away for a moment. It need not keep more, because snapshots say what was before; who runs
 * the broker may make the stream as they like it (replicas, limits), and it stays so.
 */
const STREAM = {
  name: FLEET_STREAM,
  subjects: ['caegis.*.log'],
  storage: StorageType.File,
  discard: DiscardPolicy.Old,
  max_msgs_per_subject: 10_000,
  max_age: nanos(3600 * 1000),
}

export interface NatsBus extends Bus {
  close(): Promise<void>
}

/** A NATS JetStream broker, connected to in the background for as long as it takes: neither a start nor a revocation waits for it. */
export function connectNats(settings: NatsSettings, log: Log): NatsBus {
  const listeners = new Set<() => void>()
  const closing = new AbortController()
  let connection: NatsConnection | undefined
  /** There is a connection, and the broker has the stream. */
  let ready: NatsConnection | undefined
  let failing = false
  /** All tenants have one stream, and miss it at once. */
  let adding: Promise<void> | undefined
  if (!settings.tls && !settings.servers.every(isLocal))
    log.warn('messages to guard fleets travel without TLS: who reads along learns whose access ended; use tls:// in NATS_URL')
  const running = run()

  return {
    async last(subject) {
      const { streams } = await manager()
      const ask = () => streams.getMessage(FLEET_STREAM, { last_by_subj: subject })
      // Whoever removed it at the broker took nothing that anybody needs, but guards poll without it. Once: who fails asks again later.
      const found = await ask().catch((error: unknown) => (isGone(error) ? addAgain(streams).then(ask) : Promise.reject(error)))
      return found ? { text: found.string(), at: found.seq } : undefined
    },
    async append(subject, text, after) {
      const { seq } = await jetstream(reached(), { timeout: TIMEOUT }).publish(subject, text, {
        expect: { streamName: FLEET_STREAM, lastSubjectSequence: after },
      })
      return seq
    },
    tell(subject, text) {
      // The client would keep it until the broker is back, and pass on what was true once.
      ready?.publish(subject, text)
    },
    onConnect(listener, signal) {
      listeners.add(listener)
      signal.addEventListener('abort', () => listeners.delete(listener), { once: true })
    },
    async close() {
      closing.abort()
      await connection?.close().catch(() => {})
      await running
    },
  }

  async function run(): Promise<void> {
    const options = connectionOptions(settings)
    while (!closing.signal.aborted) {
      try {
        connection = await connect(options)
        await serve(connection)
      } catch (error) {
        // Once an outage.
        if (!failing && !closing.signal.aborted)
          log.error('the broker of guard fleets cannot be used, trying again', { servers: settings.servers, error: nameOf(error) })
        failing = true
      }
      ready = undefined
      await connection?.close().catch(() => {})
      if (!closing.signal.aborted) await new Promise((resolve) => setTimeout(resolve, PAUSE))
    }
  }

  /** Until the connection is closed for good. */
  async function serve(own: NatsConnection): Promise<void> {
    if (closing.signal.aborted) return
    await begin(own)
    for await (const { type } of own.status()) {
      if (type === 'disconnect') {
        ready = undefined
        log.warn('the broker of guard fleets is gone', { servers: settings.servers })
      } else if (type === 'reconnect') await begin(own)
      else if (type === 'close') return
    }
  }

  async function begin(own: NatsConnection): Promise<void> {
    const { streams } = await jetstreamManager(own, { checkAPI: false, timeout: TIMEOUT })
    // Also after each new connection: the broker may have lost it.
    await streams.info(FLEET_STREAM).catch(() => streams.add(STREAM))
    ready = own
    failing = false
    log.info('connected to the broker of guard fleets', { servers: settings.servers })
    for (const one of listeners) one()
  }

  function addAgain(streams: StreamAPI): Promise<void> {
    adding ??= streams
      .add(STREAM)
      .then(() => log.warn('the broker had lost the stream of guard fleets: it was made again', { servers: settings.servers }))
      .finally(() => {
        adding = undefined
      })
    return adding
  }

  function reached(): NatsConnection {
    if (!ready) throw new Error('the broker cannot be reached')
    return ready
  }

  function manager() {
    return jetstreamManager(reached(), { checkAPI: false, timeout: TIMEOUT })
  }
}

function connectionOptions({ servers, tls, user, password, token, creds }: NatsSettings): NodeConnectionOptions {
  return {
    ...{ servers, name: 'caegis server', maxReconnectAttempts: -1, reconnectTimeWait: PAUSE, timeout: TIMEOUT },
    // Refuses a broker without it before anything is said.
    ...(tls && { tls: {} }),
    ...(user !== undefined && password !== undefined && { user, pass: password }),
    ...(token !== undefined && { token }),
    ...(creds !== undefined && { authenticator: credsAuthenticator(new TextEncoder().encode(creds)) }),
  }
}

function isLocal(server: string): boolean {
  return ['localhost', '127.0.0.1', '[::1]'].includes(new URL(server).hostname)
}

function isGone(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown'
}
