/** Keys that one query names at most. */
const MOST = 512

/**
 * One query for all who ask within one turn of the event loop: a commit wakes a thousand polls at once, and their next requests arrive many at a time. Whoever asks
 * when it has begun is served by the next one, so that nobody is given what was read before the question.
 */
export function createLoader<T>(load: (keys: string[]) => Promise<ReadonlyMap<string, T>>): (key: string) => Promise<T | undefined> {
  let open: { keys: Set<string>; found: Promise<ReadonlyMap<string, T>> } | undefined

  const begin = () => {
    const keys = new Set<string>()
    // Requests that have arrived together are each a task of their own; this runs after the last of them.
    const found = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      if (open?.keys === keys) open = undefined
      return load(padded([...keys]))
    })
    return { keys, found }
  }

  return async (key) => {
    if (!open || open.keys.size >= MOST) open = begin()
    open.keys.add(key)
    return (await open.found).get(key)
  }
}

/** To a power of two, by naming one again: statements are prepared by their text, and there should be few. */
export function padded<T>(keys: readonly T[]): T[] {
  const size = 2 ** Math.ceil(Math.log2(keys.length))
  return [...keys, ...new Array<T>(size - keys.length).fill(keys[0] as T)]
}
