import type { CutoffKey } from '@caegis/protocol'
import { pairId } from '@caegis/protocol'
import { type RawBuilder, sql, type Transaction } from 'kysely'
import { lastInstant } from '../store/change.ts'
import type { Schema } from '../store/schema.ts'
import type { Attempt, Mint, Reading } from './attempt.ts'
import { tokenVersion } from './facts.ts'
import type { Tenant } from './tenant.ts'

/** The deciding rows as they are inside the fence's transaction, where nobody else can change them. */
export interface Rows {
  /** Seconds, where the tenant is stopped. */
  stoppedAt: number | null
  /** Second of the last edit whose consequences for the whole tenant are not worked out yet; 0 when there is none. */
  lastEdit: number
  /** 0 where there is no such row. */
  versionOf(reading: Reading): Promise<number>
  /** The latest cutoff, of any depth, under any of the token's keys. One of the whole tenant does not concern its streams. */
  lastCutoff(mint: Mint): number
}

interface Row {
  kind: string
  id: string
  version: number
  valid_from: number
  access_from: number
  claims_from: number
  /** Version of the policies, of a tenant. */
  policies: number
  /** When it was stopped or deleted. */
  ended: number | null
}

const INSTANTS = sql.raw('valid_from, access_from, claims_from')

/** All of them by one statement: each look alone would cost as much as the whole. */
export async function readRows(
  db: Transaction<Schema>,
  tenant: Tenant,
  { readings, mints }: Pick<Attempt, 'readings' | 'mints'>,
  now: number,
): Promise<Rows> {
  const wanted = new Map<string, Set<string>>()
  const want = (kind: string, id: string) => void (wanted.get(kind) ?? wanted.set(kind, new Set()).get(kind))?.add(id)
  for (const { reading } of readings.values()) {
    if (reading.table === 'grant') want('grant', pairId(reading.user, reading.app))
    else if (reading.table === 'user-device') want('user-device', pairId(reading.user, reading.device))
    else if (reading.table === 'artifact') want('artifact', tenant.artifacts.place(reading.model, reading.id))
    else want(reading.table, reading.id)
  }
  for (const mint of mints) for (const { kind, id } of keysOf(mint)) want(kind, id)

  const own = tenant.id
  const parts: RawBuilder<unknown>[] = [
    sql`select 'tenant' as kind, '' as id, version, ${INSTANTS}, policies_version as policies, stopped_at as ended from tenants where id = ${own}`,
    sql`select 'edit', '', 0, coalesce(max(t), 0), 0, 0, 0, null from reevaluations where tenant = ${own} and state = 'running' and scope is null`,
  ]
  const part = (kind: string, id: string, ended: string, from: string, where: (ids: string[]) => RawBuilder<unknown>) => {
    const ids = [...(wanted.get(kind) ?? [])]
    if (ids.length === 0) return
    const columns = sql.raw(`'${kind}', ${id}, version, valid_from, access_from, claims_from, 0, ${ended} from ${from}`)
    parts.push(sql`select ${columns} where tenant = ${own} and ${where(ids)}`)
  }
  const one = (column: string) => (ids: string[]) => sql`${sql.ref(column)} in (${sql.join(ids)})`
  const pairs = (left: string, right: string) => (ids: string[]) =>
    sql`(${sql.join(
      ids.map((id) => id.split('\n')).map(([a = '', b = '']) => sql`(${sql.ref(left)} = ${a} and ${sql.ref(right)} = ${b})`),
      sql` or `,
    )})`
  part('user', 'id', 'null', 'users', one('id'))
  part('session', 'id', 'null', 'sessions', one('id'))
  part('device', 'id', 'null', 'devices', one('id'))
  part('app', 'app_id', 'deleted_at', 'applications', one('app_id'))
  part('grant', "user_id || '\n' || app_id", 'null', 'grants', pairs('user_id', 'app_id'))
  part('user-device', "user_id || '\n' || device_id", 'null', 'device_users', pairs('user_id', 'device_id'))
  const artifacts = [...(wanted.get('artifact') ?? [])]
  if (artifacts.length > 0)
    parts.push(sql`select 'artifact', model || '\n' || id, version, 0, 0, 0, 0, null from artifacts
      where tenant = ${own} and ${pairs('model', 'id')(artifacts)} and expires_at > ${now}`)

  const { rows } = await sql<Row>`${sql.join(parts, sql` union all `)}`.execute(db)
  const known = new Map(rows.map((row) => [`${row.kind} ${row.id}`, row]))
  const home = known.get('tenant ')
  const under = ({ kind, id }: CutoffKey) => (kind === 'tenant' ? home : known.get(`${kind} ${id}`))

  return {
    stoppedAt: home?.ended ?? null,
    lastEdit: known.get('edit ')?.valid_from ?? 0,

    async versionOf(reading) {
      switch (reading.table) {
        case 'artifact':
          return known.get(`artifact ${tenant.artifacts.place(reading.model, reading.id)}`)?.version ?? 0
        case 'tenant':
          return home?.version ?? 0
        case 'policies':
          return home?.policies ?? 0
        case 'home': {
          const row = db.selectFrom('users').select('version').where('tenant', '=', reading.tenant).where('id', '=', reading.id)
          return (await row.where('deleted_at', 'is', null).executeTakeFirst())?.version ?? 0
        }
        case 'token':
          return tokenVersion(db, tenant, reading.id)
        case 'app': {
          const row = known.get(`app ${reading.id}`)
          // One that was deleted is none any more.
          return row?.ended === null ? row.version : 0
        }
        case 'grant':
          return known.get(`grant ${pairId(reading.user, reading.app)}`)?.version ?? 0
        case 'user-device':
          return known.get(`user-device ${pairId(reading.user, reading.device)}`)?.version ?? 0
        default:
          return known.get(`${reading.table} ${reading.id}`)?.version ?? 0
      }
    },

    lastCutoff: (mint) => Math.max(mint.stream ? 0 : lastInstant(home), ...keysOf(mint).map((key) => lastInstant(under(key)))),
  }
}

/** What a token hangs on, but for its tenant; a token that it was given out for has no row. */
function keysOf({ user, sid, appId, device, keys = [] }: Mint): CutoffKey[] {
  const found: CutoffKey[] = [{ kind: 'app', id: appId }]
  if (user !== undefined) found.push({ kind: 'user', id: user }, { kind: 'grant', id: pairId(user, appId) })
  if (sid !== undefined) found.push({ kind: 'session', id: sid })
  if (device !== undefined) found.push({ kind: 'device', id: device })
  if (device !== undefined && user !== undefined) found.push({ kind: 'user-device', id: pairId(user, device) })
  return [...found, ...keys.filter(({ kind }) => kind !== 'token' && kind !== 'tenant')]
}
