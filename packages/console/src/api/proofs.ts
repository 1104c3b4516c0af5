import { useEffect, useState } from 'react'
import { type Api, ApiError } from './client.ts'
import { useApi } from './context.ts'
import { readEventStream } from './event-stream.ts'

interface Moment {
  at: string
  attempt?: number
  reason?: string
}

export interface ProofReceiver {
  streamId: string
  appId: string
  displayName: string | null
  guard: boolean
  status: 'enabled' | 'paused' | 'disabled'
  statusReason?: string
  complete: boolean
  sent?: Moment
  acked?: Moment
  applied?: Moment
  refused?: Moment
  failed?: Moment
  dead?: Moment
}

export interface ProofAnswer {
  signInId: string
  atDateTime: string
  milliseconds: number
  application: { id: string; displayName: string }
  outcome: 'signedIn' | 'blocked' | 'interrupted'
  policies: { id: string; displayName: string }[]
}

export interface Proof {
  txn: string
  committedDateTime: string
  subject: {
    kind: 'user' | 'session' | 'app' | 'device' | 'grant' | 'token' | 'tenant'
    id: string
    displayName: string | null
    userId?: string
    userPrincipalName?: string | null
    application?: { id: string; displayName: string | null }
    count: number
  }
  activity: string | null
  initiatedBy: { user: { id: string; userPrincipalName: string } | null; app: { appId: string | null; displayName: string } | null } | null
  events: { seq: number; type: string }[]
  receivers: ProofReceiver[]
  receiversLeftOut: number
  refusals: { streamId: string; appId: string; displayName: string | null; atDateTime: string; milliseconds: number }[]
  answers?: ProofAnswer[]
}

/** Milliseconds before a broken event stream is opened again. */
const AGAIN = 3000

/** A proof as it grows; while nobody looks at the tab, it rests. `over`: nothing more is to be expected of it. */
export function useProof(txn: string): { proof: Proof | undefined; error: unknown; over: boolean; retry(): void } {
  const api = useApi()
  const [found, setFound] = useState<{ txn: string; proof?: Proof; error?: unknown; over?: boolean }>({ txn })
  const [tries, setTries] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: `tries` begins anew
  useEffect(() => {
    let stop = new AbortController()
    const settle = () => {
      stop.abort()
      stop = new AbortController()
      const { signal } = stop
      if (!document.hidden)
        void follow(api, txn, signal, (more) => !signal.aborted && setFound((before) => ({ ...(before.txn === txn ? before : {}), txn, ...more })))
    }
    settle()
    document.addEventListener('visibilitychange', settle)
    return () => {
      document.removeEventListener('visibilitychange', settle)
      stop.abort()
    }
  }, [api, txn, tries])
  const mine = found.txn === txn ? found : { txn }
  return { proof: mine.proof, error: mine.error, over: mine.over ?? false, retry: () => setTries((count) => count + 1) }
}

async function follow(
  api: Api,
  txn: string,
  signal: AbortSignal,
  tell: (more: { proof?: Proof; error?: unknown; over?: boolean }) => void,
): Promise<void> {
  const path = `/caegis/revocations/${encodeURIComponent(txn)}`
  while (!signal.aborted) {
    try {
      const body = await api.stream(path, { signal })
      let last: Proof | undefined
      for await (const { event, data } of readEventStream(body)) {
        if (event !== 'proof' || data === undefined) continue
        last = data as Proof
        tell({ proof: last, error: undefined, over: false })
      }
      // The server ends it some time after the last receiver; anything else was cut off.
      if (last?.receivers.every(({ complete }) => complete)) return tell({ over: true })
    } catch (error) {
      if (signal.aborted) return
      tell({ error })
      if (error instanceof ApiError && error.status !== 429 && error.status < 500) return
    }
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, AGAIN)
      signal.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true })
    })
  }
}
