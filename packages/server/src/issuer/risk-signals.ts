import { type Kysely, sql, type Transaction } from 'kysely'
import { HOUR, MOST, REMEMBERED, type Recent } from '../risk/detection.ts'
import { looksAround } from '../risk/detections/password-spray.ts'
import type { Place, Signal } from '../risk/signal.ts'
import type { RiskSignalRow, Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { timeId } from '../store/time-id.ts'

/** A signal, and the sign-in that it is of. */
export type Seen = Signal & { signIn?: string }

/** Keeps what was seen: of a sign-in in the transaction that lets it out, of a failure a moment later. */
export async function insertSignal(db: Kysely<Schema> | Transaction<Schema>, tenant: string, seen: Seen): Promise<void> {
  const { at, kind, outcome, user = null, name = null, address, network, country, place, browser = null, device = null, signIn = null } = seen
  await db
    .insertInto('risk_signals')
    .values({
      ...{ tenant, id: timeId(at * 1000), at, kind, outcome, user_id: user, name, address, network, browser, device_id: device, sign_in: signIn },
      ...{ country: country === undefined ? null : (country ?? NOWHERE), place: place ? JSON.stringify(place) : null },
      ...{ doubted: seen.doubted ? 1 : 0, passwordless: seen.passwordless ? 1 : 0 },
    })
    .execute()
}

/** Looked up, and of no country. */
const NOWHERE = '-'

/** What is remembered around a sign-in: of its user, and of its network, as far as a detection looks at it. */
export async function readRecent({ db }: Store, tenant: string, signal: Signal): Promise<Recent> {
  const { user = '', network, at } = signal
  const ofUser = (outcome: RiskSignalRow['outcome'], since: number) =>
    db
      .selectFrom('risk_signals')
      .select(COLUMNS)
      .where('user_id', '=', user)
      .where('kind', '=', 'interactive')
      .where('outcome', '=', outcome)
      .where('at', '>=', since)
      .where('tenant', '=', tenant)
      .where('doubted', '=', 0)
      .orderBy('at', 'desc')
      .limit(MOST.user)
      .execute()
  const good = (await ofUser('success', at - REMEMBERED)).map(toSignal)
  const bad = (await ofUser('failure', at - HOUR)).map(toSignal)
  const near =
    network === '' || !looksAround(signal, good)
      ? []
      : await db
          .selectFrom('risk_signals')
          .select(COLUMNS)
          .where('tenant', '=', tenant)
          .where('network', '=', network)
          // The words of the index, without which it is not looked at.
          .where(sql<boolean>`network <> ''`)
          .where('at', '>=', at - HOUR)
          .where('kind', '=', 'interactive')
          .orderBy('at', 'desc')
          .limit(MOST.network)
          .execute()
  // They all have the place of their network: it is not read for each.
  const around = near.map((row) => toSignal({ ...row, place: null }))
  return { user: [...good, ...bad].sort((one, other) => other.at - one.at), network: around }
}

const COLUMNS = [
  ...(['at', 'kind', 'outcome', 'user_id', 'name', 'address', 'network', 'country', 'place', 'browser', 'device_id'] as const),
  ...(['passwordless', 'doubted'] as const),
] as const

function toSignal(row: Pick<RiskSignalRow, (typeof COLUMNS)[number]>): Signal {
  const { at, kind, outcome, user_id: user, name, address, network, country, place, browser, device_id: device } = row
  return {
    ...{ at, kind, outcome, address, network },
    ...(user === null ? {} : { user }),
    ...(name === null ? {} : { name }),
    ...(country === null ? {} : { country: country === NOWHERE ? null : country }),
    ...(place === null ? {} : { place: JSON.parse(place) as Place }),
    ...(browser === null ? {} : { browser }),
    ...(device === null ? {} : { device }),
    ...(row.passwordless === 1 ? { passwordless: true } : {}),
    ...(row.doubted === 1 ? { doubted: true } : {}),
  }
}
