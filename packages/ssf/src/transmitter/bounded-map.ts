/** A map that forgets what was used longest ago: memory that a peer fills must have an end. */
export interface BoundedMap<V> {
  get(key: string): V | undefined
  set(key: string, value: V): void
  delete(key: string): void
  clear(): void
  /** As they are now; what is used longest ago comes first. */
  entries(): [key: string, value: V][]
}

export function createBoundedMap<V>(max: number): BoundedMap<V> {
  const map = new Map<string, V>()
  return {
    get(key) {
      const value = map.get(key)
      if (value !== undefined) {
        map.delete(key)
        map.set(key, value)
      }
      return value
    },
    set(key, value) {
      map.delete(key)
      map.set(key, value)
      if (map.size > max) map.delete(map.keys().next().value as string)
    },
    delete(key) {
      map.delete(key)
    },
    clear() {
      map.clear()
    },
    entries: () => [...map],
  }
}
