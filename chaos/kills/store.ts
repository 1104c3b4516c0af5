import { DatabaseSync } from 'node:sqlite'
import { EVENT } from '@caegis/protocol'
import { EXPIRY_LEEWAY } from '../../packages/server/src/store/change.ts'
import { query } from '../../test/postgres.ts'
import type { Held } from './ledger.ts'
import type { World } from './world.ts'

export interface LogEvent {
  seq: number
  id: string
  txn: string
  type: string
  user: string | undefined
  sid: string | undefined
  /** The second of its cutoff; `undefined` where it cuts off nobody. */
  t: number | undefined
  /** Whether a token lived that it could hit: else nothing is kept for guards. */
  hits: boolean
}

export interface UserState {
  id: string
  enabled: boolean
  deleted: boolean
  validFrom: number
  /** Of the table for guards: 0 for none. */
  cutoff: number
}

/** What the store holds, read past the servers. */
export interface Found {
  events: readonly LogEvent[]
  byTxn: ReadonlyMap<string, LogEvent[]>
  head: number
  audits: ReadonlySet<string>
  users: ReadonlyMap<string, UserState>
  policies: ReadonlyMap<string, { name: string; deleted: boolean }>
  /** How many cutoffs can still hit a token, and how many the log has ever told of: a guard has the former, and of the others those that it heard of. */
  live: number
  told: number
  /** The position of the first event that ends this token. */
  endOf(held: Held): number | undefined
}

type Row = Record<string, any>

/** Reads the whole of it each time: what was there once must be there for ever. */
export async function readStore({ kind, file, url }: World['store']): Promise<Found> {
  const rows = async (text: string): Promise<Row[]> => (kind === 'postgres' ? query(url, text) : readFile(file, text))
  const tenant = (await rows("select id, seq from tenants where name = 'contoso'"))[0] as Row
  const its = `tenant = '${tenant.id}'`
  const events = (await rows(`select seq, id, txn, type, at, subject, payload from events where ${its} order by seq`)).map(toEvent)
  const cutoffs = await rows(`select kind, id, t, until from cutoffs where ${its}`)
  const ofUser = new Map(cutoffs.filter(({ kind: what }) => what === 'user').map(({ id, t }) => [id, Number(t)]))
  const byTxn = Map.groupBy(events, ({ txn }) => txn)
  const cutting = events.filter(({ t }) => t !== undefined)
  const [byUser, bySession] = [
    Map.groupBy(cutting, ({ user, sid }) => (sid === undefined ? user : undefined)),
    Map.groupBy(cutting, ({ sid }) => sid),
  ]
  return {
    ...{ events, byTxn, head: Number(tenant.seq) },
    audits: new Set((await rows(`select distinct txn from audits where ${its}`)).map(({ txn }) => txn)),
    users: new Map(
      (await rows(`select id, enabled, deleted_at, valid_from from users where ${its}`)).map((row) => [
        row.id,
        {
          ...{ id: row.id, enabled: Number(row.enabled) === 1, deleted: row.deleted_at !== null },
          ...{ validFrom: Number(row.valid_from), cutoff: ofUser.get(row.id) ?? 0 },
        },
      ]),
    ),
    policies: new Map(
      (await rows(`select id, name, deleted_at from policies where ${its}`)).map((row) => [
        row.id,
        { name: row.name, deleted: row.deleted_at !== null },
      ]),
    ),
    live: cutoffs.filter(({ until }) => Number(until) > Date.now() / 1000).length,
    told: new Set(cutting.map(({ user, sid }) => sid ?? user)).size,
    endOf({ user, sid, iat }) {
      const ends = [...((user !== undefined && byUser.get(user)) || []), ...((sid !== undefined && bySession.get(sid)) || [])]
      const seqs = ends.filter(({ t = 0 }) => t >= iat).map(({ seq }) => seq)
      return seqs.length > 0 ? Math.min(...seqs) : undefined
    },
  }
}

/** What the database says of its own files. */
export async function checkIntegrity({ kind, file, url }: World['store']): Promise<string> {
  if (kind === 'sqlite') return String(readFile(file, 'pragma integrity_check')[0]?.integrity_check)
  await query(url, 'create extension if not exists amcheck')
  // Of every index: that it is in order, and that each row of its table is in it.
  await query(
    url,
    `select bt_index_check(c.oid, true) from pg_class c join pg_am a on a.oid = c.relam join pg_index i on i.indexrelid = c.oid
     where a.amname = 'btree' and c.relnamespace = 'public'::regnamespace and i.indisvalid`,
  )
  return 'ok'
}

function readFile(file: string, text: string): Row[] {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    return db.prepare(text).all() as Row[]
  } finally {
    db.close()
  }
}

function toEvent({ seq, id, txn, type, at, subject, payload }: Row): LogEvent {
  const { user, session } = JSON.parse(subject).complex as Row
  const { caegis_until: until, event_timestamp: t } = JSON.parse(payload) as Row
  return {
    seq: Number(seq),
    id,
    txn,
    type,
    user: user?.sub,
    sid: session?.id,
    t: until === undefined ? undefined : t,
    hits: until + EXPIRY_LEEWAY > Number(at),
  }
}

/** Those that every receiver gets; the others are for guards. */
export function isForAll({ type }: LogEvent): boolean {
  return !type.startsWith('urn:caegis:') && type !== EVENT.verification
}
