import type { Kysely, Transaction } from 'kysely'
import { HOUR, MOST, REMEMBERED, type Recent } from '../risk/detection.ts'
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

/** What is remembered around a sign-in: of its user, and of its network within the hour. */
export async function readRecent(
  { db }: Store,
  tenant: string,
  { user = '', network, at }: Pick<Signal, 'user' | 'network' | 'at'>,
): Promise<Recent> {
  const ofUser = (outcome: RiskSignalRow['outcome']) =>
    db
      .selectFrom('risk_signals')
      .selectAll()
      .where('user_id', '=', user)
      .where('kind', '=', 'interactive')
      .where('outcome', '=', outcome)
      .where('at', '>=', at - REMEMBERED)
      .where('tenant', '=', tenant)
      .orderBy('at', 'desc')
      .limit(MOST.user)
      .execute()
  const good = await ofUser('success')
  const bad = await ofUser('failure')
  const near =
    network === ''
      ? []
      : await db
          .selectFrom('risk_signals')
          .selectAll()
          .where('tenant', '=', tenant)
          .where('network', '=', network)
          .where('at', '>=', at - HOUR)
          .where('kind', '=', 'interactive')
          .orderBy('at', 'desc')
          .limit(MOST.network)
          .execute()
  return { user: [...good, ...bad].map(toSignal).sort((a, b) => b.at - a.at), network: near.map(toSignal) }
}

function toSignal(row: RiskSignalRow): Signal {
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
