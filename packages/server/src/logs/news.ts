import { EventEmitter, once } from 'node:events'
import type { Transaction } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { SignIn } from './sign-in.ts'
import type { SignInsOf } from './sign-ins.ts'

/** Who waits for a sign-in learns of it once it can be read. */
export interface News {
  /** Part of a transaction that is still open. */
  told(db: Transaction<Schema>, record: Pick<SignIn, 'user' | 'app'>): void
  wait(of: SignInsOf, signal: AbortSignal): Promise<void>
}

const ALL = 'all'

export function createNews(store: Store): News {
  const emitter = new EventEmitter()
  emitter.setMaxListeners(0)
  return {
    told(db, { user, app }) {
      const names = [...(user ? [`user ${user.id}`] : []), ...(app ? [`app ${app.id}`] : []), ALL].filter((name) => emitter.listenerCount(name) > 0)
      if (names.length > 0) store.after(db, () => void names.map((name) => emitter.emit(name)))
    },
    async wait(of, signal) {
      const name = of === 'all' ? ALL : 'user' in of ? `user ${of.user}` : `app ${of.app}`
      if (!signal.aborted) await once(emitter, name, { signal }).catch(() => {})
    },
  }
}
