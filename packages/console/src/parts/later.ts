import { useCallback, useEffect, useRef } from 'react'

/** Does something once a while after it was asked for, however often it was asked for meanwhile: a burst of live messages is one reload. */
export function useLater(work: () => void, milliseconds: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const latest = useRef(work)
  latest.current = work
  useEffect(
    () => () => {
      clearTimeout(timer.current)
      timer.current = undefined
    },
    [],
  )
  return useCallback(() => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined
      latest.current()
    }, milliseconds)
  }, [milliseconds])
}
