import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../errors.ts'
import { type RiskSettings, statusOf } from '../risk/assess.ts'
import type { Detection, Given } from '../risk/detection.ts'
import { DETECTIONS } from '../risk/detections.ts'
import { DETECTION_TYPES, type DetectionType } from '../risk/finding.ts'
import type { Actor, ChangeContext, Committed } from '../store/change.ts'
import type { Store } from '../store/store.ts'

/** A detection as an administrator sees it. */
export interface DetectionSetting extends Pick<Detection, 'type' | 'says' | 'falseAlarms'> {
  /** `unconfigured`: whoever runs the server has given nothing to look it up in. */
  status: 'on' | 'off' | 'unconfigured'
}

/** Which detections look at the sign-ins of a tenant. */
export function createRiskSettings(store: Store, tenant: string, given: Given) {
  const current = async (): Promise<RiskSettings> => ({ off: await readOff(store.db, tenant), given })

  return {
    current,
    async list(): Promise<DetectionSetting[]> {
      const settings = await current()
      return DETECTIONS.map((one) => ({ type: one.type, says: one.says, falseAlarms: one.falseAlarms, status: statusOf(one, settings) }))
    },
    /** Turns some off, or on again; the others stay. @throws CaegisError `detection_not_found` */
    update: (actor: Actor, turned: Readonly<Record<string, boolean>>): Promise<Committed<void>> =>
      store.commit({
        tenant,
        actor,
        async edit(context) {
          const off = new Set(await readOff(context.db, tenant))
          for (const [type, isOn] of Object.entries(turned)) {
            if (!isDetection(type)) throw new CaegisError('detection_not_found', SERVER_ERRORS.detection_not_found)
            if (isOn) off.delete(type)
            else off.add(type)
          }
          await saveOff(context, [...off])
        },
      }),
  }
}

export type RiskSettingsOf = ReturnType<typeof createRiskSettings>

const isDetection = (type: string): type is DetectionType => (DETECTION_TYPES as readonly string[]).includes(type)

async function readOff(db: Pick<Store['db'], 'selectFrom'>, tenant: string): Promise<DetectionType[]> {
  const row = await db.selectFrom('tenants').select('risk_off').where('id', '=', tenant).executeTakeFirst()
  return JSON.parse(row?.risk_off ?? '[]')
}

/** Makes the list of those that are turned off what it says. */
export async function saveOff(context: ChangeContext, off: readonly DetectionType[]): Promise<void> {
  const { db, tenant, audit } = context
  const before = await readOff(db, tenant)
  const after = DETECTION_TYPES.filter((type) => off.includes(type))
  const modified = DETECTION_TYPES.filter((type) => before.includes(type) !== after.includes(type)).map((type) => ({
    ...{ name: `detection ${type}`, old: JSON.stringify(before.includes(type) ? 'off' : 'on') },
    new: JSON.stringify(after.includes(type) ? 'off' : 'on'),
  }))
  if (modified.length === 0) return
  await db
    .updateTable('tenants')
    .set({ risk_off: JSON.stringify(after) })
    .where('id', '=', tenant)
    .execute()
  const target = { type: 'Directory' as const, id: tenant, name: 'Risk detections', modified }
  audit({ activity: 'Update risk detections', operation: 'Update', category: 'Policy', targets: [target] })
}
