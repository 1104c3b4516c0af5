import { randomUUID } from 'node:crypto'
import { type Channel, type ChannelHandlers, FLEET_STREAM, fleetSubjects } from '@caegis/ssf/receiver'
import { AckPolicy, type Consumer, type ConsumerMessages, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection, type NodeConnectionOptions, nanos } from '@nats-io/transport-node'
import type { Log } from './log.ts'
import { sleep } from './sleep.ts'
import type { Fleet } from './source.ts'

/** How to reach the broker: the NATS client's own options (`servers`, `user`, `pass`, `authenticator`, `tls` ...), or a connection that is there and stays its owner's. */
export type FleetOptions = NodeConnectionOptions | { connection: NatsConnection }

/** Milliseconds between two attempts. */
const PAUSE = 500
/** An idle consumer is heard of each second: with the client's defaults, one that a restarted broker has forgotten stays silent for half a minute. */
const CONSUME = { idle_heartbeat: 1000, expires: 2000, max_messages: 500, abort_on_missing_resource: true } as const
/** Milliseconds after which the broker forgets a consumer that nobody asks for. */
const INACTIVE = 30_000

/**
 * Lets a guard hear of revocations by NATS JetStream. Nothing is believed that the issuer has not signed; freshness is what its heads say, never that the broker answers.
 * @throws TypeError without servers or a connection
 */
export function fleet(options: FleetOptions): Fleet {
  const given = 'connection' in options ? options.connection : undefined
  const named = 'servers' in options ? [options.servers ?? []].flat() : []
  if (!given && named.length === 0) throw new TypeError('fleet needs servers, or a connection')
  return { open: (issuer, log) => createChannel(issuer, log, given, options as NodeConnectionOptions) }
}

function createChannel(issuer: string, log: Log, given: NatsConnection | undefined, options: NodeConnectionOptions): Channel {
  const subjects = fleetSubjects(issuer)
  const closing = new AbortController()
  let running: Promise<void> | undefined
  let reading: ConsumerMessages | undefined
  /** The instant of the last message, by the broker's clock: a new consumer begins there, whatever became of the stream meanwhile. What comes twice does no harm. */
  let since: Date | undefined

  return {
    open(on) {
      running ??= run(on)
    },
    restart() {
      reading?.stop()
    },
    async close() {
      closing.abort()
      reading?.stop()
      await running
    },
  }

  async function run(on: ChannelHandlers): Promise<void> {
    while (!closing.signal.aborted) {
      let connection: NatsConnection | undefined
      try {
        connection = given ?? (await connect({ maxReconnectAttempts: -1, reconnectTimeWait: PAUSE, name: 'caegis guard', ...options }))
        await follow(connection, on)
      } catch (error) {
        on.lost('the broker cannot be reached')
        log.warn('the broker of the fleet cannot be reached', { error: nameOf(error) })
      }
      if (!given) await connection?.close().catch(() => {})
      await sleep(PAUSE, closing.signal)
    }
  }

  /** Until the connection or the channel is closed. */
  async function follow(connection: NatsConnection, on: ChannelHandlers): Promise<void> {
    const heads = connection.subscribe(subjects.head, {
      callback: (error, message) => {
        if (!error) on.head(message.string())
      },
    })
    void watch(connection, on)
    try {
      while (!closing.signal.aborted && !connection.isClosed()) {
        await readLog(connection, on).catch((error: unknown) => {
          on.lost('the log of the fleet cannot be read')
          log.warn('the log of the fleet cannot be read', { error: nameOf(error) })
        })
        await sleep(PAUSE, closing.signal)
      }
    } finally {
      heads.unsubscribe()
    }
  }

  async function watch(connection: NatsConnection, on: ChannelHandlers): Promise<void> {
    for await (const { type } of connection.status()) {
      if (closing.signal.aborted) return
      if (type === 'disconnect' || type === 'staleConnection' || type === 'close') on.lost('the connection to the broker broke off')
      // The broker may have forgotten the consumer, or everything.
      if (type === 'reconnect') reading?.stop()
    }
  }

  async function readLog(connection: NatsConnection, on: ChannelHandlers): Promise<void> {
    const messages = await (await consumerOf(connection)).consume(CONSUME)
    reading = messages
    if (closing.signal.aborted) messages.stop()
    void listen(messages)
    for await (const message of messages) {
      since = message.time
      on.event(message.string())
    }
  }

  async function consumerOf(connection: NatsConnection): Promise<Consumer> {
    const manager = await jetstreamManager(connection, { checkAPI: false })
    const name = `guard-${randomUUID()}`
    await manager.consumers.add(FLEET_STREAM, {
      ...{ name, filter_subject: subjects.log, ack_policy: AckPolicy.None, mem_storage: true, inactive_threshold: nanos(INACTIVE) },
      // What was sent before is in the snapshot.
      ...(since ? { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since.toISOString() } : { deliver_policy: DeliverPolicy.New }),
    })
    return jetstream(connection).consumers.get(FLEET_STREAM, name)
  }

  /** Two heartbeats of the consumer are missing, or it is gone: another one is made. */
  async function listen(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of messages.status()) if (type === 'heartbeats_missed' || type === 'consumer_deleted') messages.stop()
  }
}

/** Not the message: it may name the broker's URL, and that may hold a password. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'unknown'
}
