import { type Kysely, sql } from 'kysely'
import type pg from 'pg'
import type { Log } from '../../log.ts'
import type { Listeners } from '../engine.ts'
import type { Schema } from '../schema.ts'
import { codeOf } from './connect.ts'

const CHANNEL = 'caegis_wakes'
/** Milliseconds: messages get lost (a pooler in between, a connection that is dead and does not know), so those who wait are looked up as well. */
const LOOK_EVERY = 1000
const CONNECT_AGAIN = 500
/** What such a message begins with: its topic and its text follow. */
const SAID = '!'

/** The commit of whatever moves a tenant's log says so: nobody can forget it, and no message is there before what it is about. */
export const WAKES = [
  `create function caegis_moved() returns trigger language plpgsql as $$ begin perform pg_notify('${CHANNEL}', new.id || ' ' || new.seq); return null; end $$`,
  `create trigger tenants_moved after update of seq on tenants for each row when (new.seq <> old.seq) execute function caegis_moved()`,
]

export interface Wakes {
  tell(tenant: string): void
  say(topic: string, text: string): void
  close(): Promise<void>
}

/** Brings what other processes did to those who wait here: by LISTEN, and by a look every second. */
export function createWakes(db: Kysely<Schema>, listenOn: () => pg.Client, listeners: Listeners, log: Log): Wakes {
  let closed = false
  let client: pg.Client | undefined
  let again: NodeJS.Timeout | undefined
  let failures = 0
  let heard = 0

  const hear = (payload: string | undefined) => {
    const [tenant, seq, text] = (payload ?? '').split(' ')
    // No tenant has this id.
    if (tenant === SAID) return listeners.said(seq ?? '', text ?? '')
    if (!tenant) return
    heard++
    if (seq === undefined) listeners.wake(tenant)
    else listeners.moved(tenant, Number(seq))
  }

  async function look(): Promise<void> {
    const ids = listeners.awaited()
    if (ids.length === 0) return
    const before = heard
    const rows = await db.selectFrom('tenants').select(['id', 'seq']).where('id', 'in', ids).execute()
    // What was said meanwhile is newer.
    if (heard !== before) return
    for (const { id, seq } of rows) listeners.moved(id, seq)
  }

  async function listen(): Promise<void> {
    const own = listenOn()
    client = own
    let over = false
    const end = (error?: Error) => {
      if (over) return
      over = true
      own.end().catch(() => {})
      if (closed) return
      // Once: an outage is one thing to know.
      if (failures++ === 0) log.warn('the database cannot call: logs are looked up every second meanwhile', { code: codeOf(error ?? {}) })
      again = setTimeout(() => void listen(), CONNECT_AGAIN).unref()
    }
    own.on('error', end)
    own.on('end', () => end())
    own.on('notification', ({ payload }) => hear(payload))
    try {
      await own.connect()
      await own.query(`listen ${CHANNEL}`)
      if (failures > 0) log.info('the database calls again', {})
      failures = 0
      // What was said while nobody listened.
      await look()
    } catch (error) {
      end(error as Error)
    }
  }

  const ready = listen()
  const timer = setInterval(() => void look().catch(() => {}), LOOK_EVERY).unref()
  return {
    say: (topic, text) => void sql`select pg_notify(${CHANNEL}, ${`${SAID} ${topic} ${text}`})`.execute(db).catch(() => {}),
    tell: (tenant) => void sql`select pg_notify(${CHANNEL}, ${tenant})`.execute(db).catch(() => {}),
    async close() {
      closed = true
      clearInterval(timer)
      clearTimeout(again)
      await ready
      await client?.end().catch(() => {})
    },
  }
}
