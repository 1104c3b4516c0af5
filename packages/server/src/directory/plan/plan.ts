import { isDeepStrictEqual } from 'node:util'
import { CaegisError } from '@caegis/protocol'
import { SERVER_ERRORS } from '../../errors.ts'
import type { Actor, ChangeContext } from '../../store/change.ts'
import type { Permission } from '../permissions.ts'
import { withEdits } from '../policy-edits.ts'
import type { TenantFile } from '../tenant-file.ts'
import { APPLICATIONS, deletedAmong } from './applications.ts'
import { GROUPS } from './groups.ts'
import { MEMBERSHIPS } from './memberships.ts'
import { DEVICES, ORGANIZATION, RISK, UPSTREAMS } from './others.ts'
import type { AnyPart, Commands, Item, Place } from './part.ts'
import { CONDITIONAL_ACCESS } from './policies.ts'
import { USERS } from './users.ts'
import { type Warning, warningsOf } from './warnings.ts'

export type { Item }

/** Steps that are shown one by one; of the others it is said how many there are. */
export const MOST_SHOWN = 1000

/** In the order in which they are done: what is named by others comes first. */
const PARTS: readonly AnyPart[] = [ORGANIZATION, GROUPS, APPLICATIONS, USERS, MEMBERSHIPS, RISK, CONDITIONAL_ACCESS, UPSTREAMS, DEVICES]

/** What it takes to make a directory what a file says. Nothing of it is done. */
export interface Plan {
  /** Without what is left alone. */
  file: TenantFile
  items: Item[]
  /** Entries of the file that are so already. */
  same: number
  /** Entries that are left alone, and why. */
  left: { kind: Item['kind']; name: string; reason: string }[]
  /** What the file says in vain. */
  warnings: Warning[]
}

/** Every permission that the parts of a file need of whoever applies it from outside. */
export function permissionsFor(file: TenantFile): Permission[] {
  return [...new Set(PARTS.flatMap((part) => part.needs(file)))]
}

export async function planFor(place: Place, given: TenantFile): Promise<Plan> {
  const gone = new Set(await deletedAmong(place.db, place.tenant, given.applications ?? []))
  const file = gone.size === 0 ? given : { ...given, applications: given.applications?.filter(({ appId }) => !gone.has(appId)) }
  const items: Item[] = []
  for (const part of PARTS) if (part.count(file) > 0) items.push(...(await part.items(place, file)))
  const entries = PARTS.reduce((sum, part) => sum + part.count(file), 0)
  const reason = 'It was deleted here: its id is never given again.'
  const left = [...gone].map((name) => ({ kind: 'application' as const, name, reason }))
  return { file, items, same: entries - items.length, left, warnings: await warningsOf(place, file) }
}

export interface DoOptions {
  actor: Actor
  /** What was shown must be what is done: an entry whose comparison says something else by now ends it. */
  strict: boolean
  /** Asked between steps; what is left is for another time. */
  mayGoOn?(): boolean
  onStep?(done: number): void
}

/** Changes that wait for the disk together: their commit is one (group commit). */
const AT_ONCE = 32

/**
 * Does what a plan says, from its beginning, each step a change of its own.
 * @returns how many steps are done, and the txn of each change
 * @throws CaegisError `changed_meanwhile`; what was done before stays done, and another plan says what is left
 */
export async function doPlan(
  commands: Commands,
  plan: Plan,
  { actor, strict, mayGoOn = () => true, onStep = () => {} }: DoOptions,
): Promise<{ done: number; txns: string[] }> {
  const { store, tenant, directory } = commands
  const txns: string[] = []
  let done = 0
  const placeIn = (db: Place['db']): Place => ({ ...commands, db })
  const commit = async (edit: (context: ChangeContext) => Promise<void>) => void txns.push((await store.commit({ tenant, actor, edit })).txn)
  const check = (planned: readonly Item[], found: readonly (Pick<Item, 'operation' | 'changes'> | undefined)[]) => {
    const told = (one: Pick<Item, 'operation' | 'changes'> | undefined) => [one?.operation, one?.changes]
    const same = planned.length === found.length && planned.every((one, at) => isDeepStrictEqual(told(one), told(found[at])))
    if (strict && !same) throw new CaegisError('changed_meanwhile', SERVER_ERRORS.changed_meanwhile)
  }

  const one = async (item: Item) => {
    if (item.run) {
      check([item], [await item.again(placeIn(store.db))])
      await item.run(commands, actor)
      return
    }
    const prepared = await item.prepare()
    const run = () =>
      commit(async (context) => {
        const place = placeIn(context.db)
        const draft = await item.again(place)
        check([item], [draft])
        if (draft) await withEdits(context, (edits) => item.save(edits, place, { actor, draft, prepared }))
      })
    await (item.signsOut ? directory.sayingWhich(item.name, run) : run())
  }
  const all = async (part: AnyPart, items: readonly Item[]) =>
    commit(async (context) => {
      const place = placeIn(context.db)
      const fresh = await part.items(place, plan.file)
      check(items, fresh)
      await withEdits(context, async (edits) => {
        for (const item of fresh) await item.save(edits, place, { actor, draft: item })
      })
    })

  for (const part of PARTS) {
    const items = plan.items.filter((item) => item.part === part)
    if (items.length === 0) continue
    if (part.together) {
      // Before policies somebody looks once more whom they keep out, with everybody in their groups.
      if (done > 0 && (strict || !mayGoOn())) return { done, txns }
      await all(part, items)
      done += items.length
      onStep(done)
      continue
    }
    for (let from = 0; from < items.length; from += AT_ONCE) {
      if (done > 0 && !mayGoOn()) return { done, txns }
      const some = items.slice(from, from + AT_ONCE)
      const ended = await Promise.allSettled(some.map(one))
      const failed = ended.find((end) => end.status === 'rejected')
      if (failed) throw failed.reason
      done += some.length
      onStep(done)
    }
  }
  return { done, txns }
}
