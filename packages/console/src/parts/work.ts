import { type FormEvent, useState } from 'react'

export interface Work {
  busy: boolean
  /** What the last try came to, when it failed. */
  error: unknown
  /** Does it, and keeps what it throws. */
  work(task: () => Promise<unknown>): Promise<void>
}

/** What a button or a form does: under way, failed, or neither. */
export function useWork(): Work {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  return {
    busy,
    error,
    async work(task) {
      setBusy(true)
      setError(undefined)
      try {
        await task()
      } catch (reason) {
        setError(reason)
      } finally {
        setBusy(false)
      }
    },
  }
}

/** For a form whose content the page itself sends. */
export function submitting(send: () => unknown): (event: FormEvent) => void {
  return (event) => {
    event.preventDefault()
    void send()
  }
}
