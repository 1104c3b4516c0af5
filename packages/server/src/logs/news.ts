import { EventEmitter, once } from 'node:events'
import type { Store } from '../store/store.ts'
import type { SignIn } from './sign-in.ts'
import type { SignInsOf } from './sign-ins.ts'

/** Who waits for a sign-in learns of it once it can be read. */
export interface News {
  /** Part of a transaction that is still open. */
  told(record: Pick<SignIn, 'user' | 'app'>): void
  wait(of: SignInsOf, signal: AbortSignal): Promise<void>
}

const ALL = 'all'

export function createNews(store: Store): News {
  const emitter = new EventEmitter()
  emitter.setMaxListeners(0)
  let open: Set<string> | undefined

  return {
    told({ user, app }) {
      const names = [...(user ? [`user ${user.id}`] : []), ...(app ? [`app ${app.id}`] : []), ALL].filter((name) => emitter.listenerCount(name) > 0)
      if (names.length === 0) return
      if (!open) {
        const own = new Set<string>()
        open = own
        // Behind the one that writes the record: both may be one commit, and none is told of before that.
        const over = store.transaction(async () => {
          if (open === own) open = undefined
        })
        over
          .catch(() => {})
          .then(() => {
            for (const name of own) emitter.emit(name)
          })
      }
      for (const name of names) open.add(name)
    },
    async wait(of, signal) {
      const name = of === 'all' ? ALL : 'user' in of ? `user ${of.user}` : `app ${of.app}`
      if (!signal.aborted) await once(emitter, name, { signal }).catch(() => {})
    },
  }
}
