import type { Query } from '@tanstack/react-query'

/** Ids of what is being deleted in this tab. */
const leaving = new Set<string>()

/** Whether anything may still be asked of what a query is about: its key names it by its id. */
export function isStaying({ queryKey }: Pick<Query, 'queryKey'>): boolean {
  return !queryKey.some((part) => typeof part === 'string' && leaving.has(part))
}

/** Keeps every query that is about something silent while the work lasts by which it ends. */
export async function whileLeaving<T>(id: string, work: () => Promise<T>): Promise<T> {
  leaving.add(id)
  try {
    return await work()
  } finally {
    leaving.delete(id)
  }
}
