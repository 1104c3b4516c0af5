import { Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely'
import pg from 'pg'
import type { DatabaseSettings } from '../../database-url.ts'
import type { Log } from '../../log.ts'
import { createOutage, type Outage } from '../outage.ts'
import type { Schema } from '../schema.ts'
import { refuseNul } from '../texts.ts'

/**
 * Milliseconds until somebody who asks gives up on a connection, until the database gives up on a statement or on a transaction that says nothing, and until nothing is
 * expected of a connection any more: where something in between forgot it, neither side would ever hear of that.
 */
const LIMITS = { connectionTimeoutMillis: 5000, statement_timeout: 30_000, idle_in_transaction_session_timeout: 30_000, query_timeout: 33_000 }
/** One that nobody uses is looked after by the system. */
const ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 }

const MOST_STATEMENTS = 500
/** `feature_not_supported`: "cached plan must not change result type". */
export const STALE_PLAN = '0A000'

/** Types that come as text unless said otherwise, because JavaScript has no such numbers; none of ours are that large. */
const { builtins } = pg.types
const PARSERS = new Map<number, (text: string) => unknown>([
  [builtins.INT8, toInteger],
  [builtins.NUMERIC, Number],
])
const types = { getTypeParser: (id: number, format?: 'text' | 'binary') => PARSERS.get(id) ?? pg.types.getTypeParser(id, format as 'text') }

/** Opens (or fails to open) connections as they are needed. */
export function connect(settings: DatabaseSettings, log: Log, limits: Partial<typeof LIMITS> = {}): { db: Kysely<Schema>; listenOn(): pg.Client } {
  const options = { ...toOptions(settings), ...ALIVE, types }
  const pool = new pg.Pool({ ...options, ...LIMITS, ...limits, max: settings.connections })
  const opened = new WeakMap<pg.PoolClient, number>()
  /** When one was last found to be dead: those that were there already may be so too. */
  let doubted = Number.NEGATIVE_INFINITY
  // One that breaks while nobody uses it is replaced; whoever uses one hears of it.
  pool.on('error', (error) => log.warn('a connection to the database broke', { code: codeOf(error) }))
  // One that is in use says it to its user; without a listener, it would end the process as well.
  pool.on('connect', (client) => {
    opened.set(client, performance.now())
    client.on('error', () => {})
  })
  const statements = createStatements()
  const outage = createOutage(log)
  const taken = async (): Promise<PostgresPoolClient> => {
    const client = await take()
    let open = false
    let dead = false
    const query = async (asked: string, parameters: readonly unknown[]) => {
      refuseNul(parameters)
      // Its rollback as well would wait for an answer that does not come: the database ends what it hears no more of.
      if (dead) return told(new Error('connection terminated'), outage)
      const text = withEmptyLists(asked)
      if (text.startsWith('begin') || text.startsWith('start transaction')) open = true
      if (text === 'commit' || text === 'rollback') open = false
      try {
        return await client.query({ text, values: parameters as unknown[], ...statements.nameOf(text) })
      } catch (error) {
        if (UNANSWERED.test((error as Error).message)) {
          dead = true
          doubted = performance.now()
          log.warn('a connection to the database is dead', {})
        }
        // A migration has changed what `select *` means. Within a transaction, all of that begins again.
        if (codeOf(error) !== STALE_PLAN) return told(error, outage)
        statements.renew()
        if (open) throw error
        return client.query({ text, values: parameters as unknown[] })
      }
    }
    return { query: query as never, release: (destroy) => client.release(dead || destroy) }
  }
  async function take(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await pool.connect().catch((error) => told(error, outage))
      if ((opened.get(client) ?? 0) > doubted) return client
      client.release(true)
    }
  }
  const dialect = new PostgresDialect({ pool: { connect: taken, end: () => pool.end(), options: pool.options } })
  return { db: new Kysely<Schema>({ dialect }), listenOn: () => new pg.Client(options) }
}

/**
 * PostgreSQL's appendix A: connections (08), its end and its start (57P0x), what it lacks (53: connections, memory, room on its disk), a disk that fails (58030), one that only
 * reads (25006), what took too long (57014, 25P03).
 */
const AWAY = /^(08...|53...|57P0[123]|58030|57014|25006|25P03|ECONN\w+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|E[MN]FILE)$/
/** What the client says itself has no code. */
const UNANSWERED = /query read timeout/i
const AWAY_WORDS = /query read timeout|connection terminated|timeout exceeded when trying to connect|not queryable/i

function told(error: unknown, outage: Outage): never {
  if (!AWAY.test(codeOf(error)) && !AWAY_WORDS.test((error as Error).message)) throw error
  return outage.refuse(error, codeOf(error))
}

/** A list of nothing: no value is in it. The embedded database takes `in ()`; values are never part of the text. */
function withEmptyLists(text: string): string {
  return text.includes(' in ()') ? text.replaceAll(' not in ()', " <> all('{}')").replaceAll(' in ()', " = any('{}')") : text
}

/**
 * Names for statements that come again: the database parses and plans a named one once a connection. Those beyond the first come without: a text that is put together from
 * what a request asks for must not fill its memory.
 */
function createStatements(): { nameOf(text: string): { name?: string }; renew(): void } {
  const names = new Map<string, string>()
  let generation = 0
  return {
    nameOf(text) {
      const known = names.get(text)
      if (known !== undefined) return { name: known }
      // Words that stand alone (begin, commit) have nothing to plan.
      if (names.size >= MOST_STATEMENTS || !text.includes('$')) return {}
      const name = `s${generation} ${names.size}`
      names.set(text, name)
      return { name }
    },
    renew() {
      generation++
      names.clear()
    },
  }
}

function toOptions({ host, port, database, user, password, tls, ca }: DatabaseSettings) {
  return {
    ...{ host, database, application_name: 'caegis' },
    ...(port === undefined ? {} : { port }),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ssl: tls ? { rejectUnauthorized: true, servername: host, ...(ca === undefined ? {} : { ca }) } : false,
  }
}

function toInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError('the database holds a number that is too large')
  return value
}

/** What may stand in a log: an error's text may repeat what was to be written. */
export function codeOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown }
  return typeof code === 'string' ? code : String(name)
}
