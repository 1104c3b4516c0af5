/** One hop of the loop, in words for a person. */
export interface Hop {
  id: number
  /** Milliseconds since 1970. */
  at: number
  tone: 'plain' | 'good' | 'bad' | 'wait'
  text: string
  /** How long the hop took, in milliseconds. */
  took?: number
  /** How many like it came in a row. */
  times: number
}

const KEY = 'journal'
const MOST = 200

export type Journal = ReturnType<typeof createJournal>

/** The log of hops. It lies in session storage, so that the way to the sign-in page and back does not tear it apart. */
export function createJournal(storage: Storage) {
  let hops: Hop[] = read(storage)
  const listeners = new Set<() => void>()

  function keep(next: Hop[]): void {
    hops = next.slice(-MOST)
    storage.setItem(KEY, JSON.stringify(hops))
    for (const listener of listeners) listener()
  }

  return {
    list: () => hops,
    subscribe(listener: () => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    clear: () => keep([]),
    add(tone: Hop['tone'], text: string, took?: number): void {
      const last = hops.at(-1)
      const common = { at: Date.now(), tone, text, ...(took === undefined ? {} : { took }) }
      if (last && last.tone === tone && last.text === text) keep([...hops.slice(0, -1), { ...last, ...common, times: last.times + 1 }])
      else keep([...hops, { ...common, id: (last?.id ?? 0) + 1, times: 1 }])
    },
  }
}

function read(storage: Storage): Hop[] {
  try {
    return JSON.parse(storage.getItem(KEY) ?? '[]') as Hop[]
  } catch {
    return []
  }
}
