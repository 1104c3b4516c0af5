import type { Policy } from '@caegis/policy'
import type { Kysely, Transaction } from 'kysely'
import type { Actor } from '../../store/change.ts'
import type { Schema } from '../../store/schema.ts'
import type { Secrets } from '../../store/secrets.ts'
import type { Store } from '../../store/store.ts'
import type { Directory } from '../directory.ts'
import type { Permission } from '../permissions.ts'
import type { PolicyContext } from '../policy-edits.ts'
import type { TenantFile } from '../tenant-file.ts'
import type { Difference } from './differences.ts'

export type Db = Kysely<Schema> | Transaction<Schema>

/** Whose directory a file is compared with, and in which transaction it is read. */
export interface Place {
  db: Db
  tenant: string
  issuer: string
  secrets: Secrets
}

/** What the commands need that are changes of their own. */
export interface Commands {
  store: Store
  tenant: string
  issuer: string
  secrets: Secrets
  directory: Pick<Directory, 'sayingWhich'>
}

export type StepKind =
  | 'organization'
  | 'group'
  | 'application'
  | 'user'
  | 'membership'
  | 'risk'
  | 'authenticationContext'
  | 'namedLocation'
  | 'conditionalAccessPolicy'
  | 'upstream'
  | 'device'

/** What it takes to make the directory what one entry of a file says. */
export interface Draft {
  operation: 'add' | 'change'
  changes: Difference[]
  /** As it will be: its author may be somebody whom it keeps out. */
  policy?: Policy
  /** It takes sessions away, whose applications are told. */
  signsOut?: true
}

/** Who does it, what was compared inside the change, and what was prepared outside of it. */
export interface By {
  actor: Actor
  draft: Draft
  prepared?: unknown
}

/** One part of a tenant file. What is compared and what is done are beside each other, so that neither can forget the other. */
export interface Part<E> {
  /** Entries of it in the file; none where it says nothing about them. */
  entries(file: TenantFile): readonly E[]
  kindOf(entry: E): StepKind
  nameOf(entry: E): string
  /** What somebody must be permitted who applies it over the admin API; all of them. */
  needs(entry: E): readonly Permission[]
  /** What would change, entry by entry, in the words of the file: nothing of it is an id that only comes to be. `undefined` = it is so already. */
  compare(place: Place, entries: readonly E[]): Promise<(Draft | undefined)[]>
  /** Work that is too slow for a transaction. */
  prepare?(entry: E, draft: Draft): Promise<unknown>
  /** Edits within a change; exactly what was compared. */
  save?(context: PolicyContext, place: Place, entry: E, by: By): Promise<unknown>
  /** Instead of `save`: a command that is a change of its own. */
  run?(commands: Commands, actor: Actor, entry: E, draft: Draft): Promise<unknown>
  /** All entries are one change: what follows of them follows once. */
  together?: true
}

/** An entry that has something to change, without its type: what an engine needs of it. */
export interface Item extends Draft {
  kind: StepKind
  name: string
  part: AnyPart
  needs: readonly Permission[]
  /** The same as now; to see whether it still is. */
  again(place: Place): Promise<Draft | undefined>
  prepare(): Promise<unknown>
  save(context: PolicyContext, place: Place, by: By): Promise<unknown>
  run?: (commands: Commands, actor: Actor) => Promise<unknown>
}

export interface AnyPart {
  together: boolean
  needs(file: TenantFile): Permission[]
  count(file: TenantFile): number
  items(place: Place, file: TenantFile): Promise<Item[]>
}

/** Entries that are compared in one query: SQLite bounds the parameters. */
const BATCH = 400

export function definePart<E>(part: Part<E>): AnyPart {
  const any: AnyPart = {
    together: part.together === true,
    needs: (file) => part.entries(file).flatMap((entry) => part.needs(entry)),
    count: (file) => part.entries(file).length,
    async items(place, file) {
      const entries = part.entries(file)
      const found: Item[] = []
      for (let from = 0; from < entries.length; from += BATCH) {
        const some = entries.slice(from, from + BATCH)
        const drafts = await part.compare(place, some)
        for (const [at, draft] of drafts.entries()) if (draft) found.push(toItem(some[at] as E, draft))
      }
      return found
    },
  }
  const { run, save } = part
  const toItem = (entry: E, draft: Draft): Item => ({
    ...draft,
    ...{ kind: part.kindOf(entry), name: part.nameOf(entry), part: any, needs: part.needs(entry) },
    again: async (place) => (await part.compare(place, [entry]))[0],
    prepare: async () => part.prepare?.(entry, draft),
    save: async (context, place, by) => save?.(context, place, entry, by),
    ...(run ? { run: (commands: Commands, actor: Actor) => run(commands, actor, entry, draft) } : {}),
  })
  return any
}
