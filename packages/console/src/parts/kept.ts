import { useEffect, useMemo, useRef } from 'react'
import { useSession } from '../session/context.ts'

export interface Kept<T> {
  /** What was left here, before anything was typed this time. */
  found: T | undefined
  forget(): void
}

/** Milliseconds without a key after which it is written. */
const PAUSE = 300

/**
 * Keeps what somebody is writing, in this tab, until it is saved or thrown away: neither a link, a reload nor a sign-in that has ended meanwhile loses it.
 * @param value `undefined` where nothing was changed yet
 */
export function useKept<T>(name: string, value: T | undefined): Kept<T> {
  const { tenant, account } = useSession()
  const key = `caegis.kept.${tenant}.${account.username}.${name}`
  const found = useMemo(() => read<T>(key), [key])
  const latest = useRef(value)
  latest.current = value
  useEffect(() => {
    if (value === undefined) return
    const timer = setTimeout(() => write(key, value), PAUSE)
    const warn = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', warn)
    return () => {
      clearTimeout(timer)
      removeEventListener('beforeunload', warn)
    }
  }, [key, value])
  useEffect(
    () => () => {
      if (latest.current !== undefined) write(key, latest.current)
    },
    [key],
  )
  return {
    found,
    forget() {
      latest.current = undefined
      sessionStorage.removeItem(key)
    },
  }
}

function read<T>(key: string): T | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? 'null') ?? undefined
  } catch {
    return undefined
  }
}

function write(key: string, value: unknown): void {
  try {
    sessionStorage.setItem(key, JSON.stringify(value))
  } catch {
    // Too much for this tab: the browser still asks before the page is left.
    sessionStorage.removeItem(key)
  }
}
