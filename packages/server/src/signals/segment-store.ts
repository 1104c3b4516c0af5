import type { SegmentList, TransmitterStore } from '@caegis/ssf/transmitter'
import type { Secrets } from '../store/secrets.ts'
import type { Store } from '../store/store.ts'

/** Seconds for which a segment is kept that no list names: somebody may have been told its name a moment ago, or is about to name it. */
const KEPT = 3600
/** Segments that go in one statement; they are large. */
const BATCH = 20

type SegmentStore = Pick<TransmitterStore, 'segmentList' | 'saveSegmentList' | 'addSegment' | 'getSegment'>

/** The segments of one tenant's snapshot, where every node finds them. The list holds their keys, so it lies sealed; the segments are encrypted anyway. */
export function createSegmentStore(store: Store, secrets: Secrets, tenant: string): SegmentStore {
  const { db } = store
  const context = `segments:${tenant}`
  const now = () => Math.floor(store.clock())
  return {
    async segmentList() {
      const row = await db.selectFrom('segment_lists').select('sealed').where('tenant', '=', tenant).executeTakeFirst()
      return row && (secrets.open(context, row.sealed) as SegmentList)
    },
    saveSegmentList: (list) =>
      store.transaction({ name: context }, async (tx) => {
        const { version } = list
        const sealed = secrets.seal(context, list)
        const { numInsertedOrUpdatedRows: saved } = await tx
          .insertInto('segment_lists')
          .values({ tenant, version, sealed })
          .onConflict((clash) =>
            clash
              .column('tenant')
              .doUpdateSet({ version, sealed })
              .where('segment_lists.version', '=', version - 1),
          )
          .executeTakeFirstOrThrow()
        if (saved !== 1n) return false
        const digests = list.segments.map(({ digest }) => digest)
        await tx
          .updateTable('segments')
          .set({ left_at: now() })
          .where('tenant', '=', tenant)
          .where('left_at', 'is', null)
          .$if(digests.length > 0, (query) => query.where('digest', 'not in', digests))
          .execute()
        if (digests.length === 0) return true
        const { numUpdatedRows: named } = await tx
          .updateTable('segments')
          .set({ left_at: null })
          .where('tenant', '=', tenant)
          .where('digest', 'in', digests)
          .executeTakeFirstOrThrow()
        if (named !== BigInt(digests.length)) throw new Error('a list of segments names one that is not stored')
        return true
      }),
    async addSegment(digest, body) {
      await db.insertInto('segments').values({ tenant, digest, left_at: now(), sealed: body }).execute()
    },
    async getSegment(digest) {
      const row = await db.selectFrom('segments').select('sealed').where('tenant', '=', tenant).where('digest', '=', digest).executeTakeFirst()
      return row?.sealed
    },
  }
}

/** Removes what no list has named for an hour, of all tenants. */
export async function sweepSegments({ db, clock }: Store, isClosed: () => boolean): Promise<void> {
  const before = Math.floor(clock()) - KEPT
  while (!isClosed()) {
    const rows = await db.selectFrom('segments').select(['tenant', 'digest']).where('left_at', '<', before).limit(BATCH).execute()
    if (rows.length === 0) return
    const digests = rows.map(({ digest }) => digest)
    // Digests are of random bytes: no two tenants share one.
    await db.deleteFrom('segments').where('digest', 'in', digests).where('left_at', '<', before).execute()
  }
}
