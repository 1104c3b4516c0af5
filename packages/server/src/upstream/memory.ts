import type { SecurityEvent } from '@caegis/protocol'
import type { EventQueue, SeenStore } from '@caegis/ssf/receiver'
import type { Store } from '../store/store.ts'

/** Events that wait to be acted on; more are not accepted, and come again. */
const CAPACITY = 1000

/**
 * What a receiver of one upstream remembers over a restart: the SETs that it acted on, and those that it has accepted and not acted on yet.
 * @param acts whether this server acts on them; otherwise it leaves them for the one that does
 */
export function createMemory(
  { db, clock }: Pick<Store, 'db' | 'clock'>,
  { tenant, upstream }: { tenant: string; upstream: string },
  acts: () => boolean,
): { seen: SeenStore; queue: EventQueue } {
  const own = { tenant, upstream }
  const rows = () => db.selectFrom('upstream_sets').where('tenant', '=', tenant).where('upstream', '=', upstream)
  return {
    seen: {
      async has(iss, jti) {
        return (await rows().select('jti').where('iss', '=', iss).where('jti', '=', jti).where('event', 'is', null).executeTakeFirst()) !== undefined
      },
      async add(iss, jti) {
        await db
          .insertInto('upstream_sets')
          .values({ ...own, iss, jti, at: clock(), event: null })
          .onConflict((clash) => clash.columns(['tenant', 'upstream', 'iss', 'jti']).doUpdateSet({ event: null }))
          .execute()
      },
    },
    queue: {
      async add(event) {
        const waiting = rows().where('event', 'is not', null)
        const { count } = await waiting.select((eb) => eb.fn.countAll<number>().as('count')).executeTakeFirstOrThrow()
        if (Number(count) >= CAPACITY) return 'full'
        await db
          .insertInto('upstream_sets')
          .values({ ...own, iss: event.iss, jti: event.jti, at: clock(), event: JSON.stringify(event) })
          .onConflict((clash) => clash.doNothing())
          .execute()
        return acts() ? 'added' : 'elsewhere'
      },
      async remove(iss, jti) {
        // What was acted on stays, as seen.
        await db
          .deleteFrom('upstream_sets')
          .where('tenant', '=', tenant)
          .where('upstream', '=', upstream)
          .where('iss', '=', iss)
          .where('jti', '=', jti)
          .where('event', 'is not', null)
          .execute()
      },
      async list() {
        if (!acts()) return []
        const found = await rows().select('event').where('event', 'is not', null).orderBy('at').execute()
        return found.map(({ event }) => JSON.parse(event as string) as SecurityEvent)
      },
    },
  }
}
