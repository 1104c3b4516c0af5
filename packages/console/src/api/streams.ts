import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useRef } from 'react'
import { useLive } from './live.tsx'

export interface Stream {
  id: string
  appId: string
  displayName: string | null
  audience: string
  description: string | null
  delivery: { method: string; endpointUrl: string | null }
  eventsRequested: string[] | null
  eventsDelivered: string[]
  subjects: 'simple' | 'complex'
  algorithm: string
  guard: boolean
  status: 'enabled' | 'paused' | 'disabled'
  statusReason: string | null
  statusSetByAdministrator: boolean
  createdDateTime: string
  acked: number
  lag: { rows: number; seconds: number }
  applied: { seq: number; asOfDateTime: string } | null
  seenDateTime: string | null
  live: boolean | null
  deadLetters: number
  successRate: number | null
  verifiedDateTime: string | null
  lane: { inFlight: number; failures: number; failingSinceDateTime: string | null; retryDateTime: string | null } | null
}

export const DELIVERY_STATES = ['pending', 'sent', 'acked', 'applied', 'refused', 'dead', 'notSent'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]
export const DELIVERY_TIMES = ['sent', 'failed', 'acked', 'applied', 'refused', 'dead'] as const

export interface Delivery {
  seq: number
  id: string
  txn: string
  jti: string
  type: string
  subject: { format: string; user?: { sub?: string }; sub?: string }
  committedDateTime: string
  state: DeliveryState
  times: Partial<Record<(typeof DELIVERY_TIMES)[number], { at: string; attempt?: number; reason?: string }>>
}

export interface DeliveryWithSet extends Delivery {
  set: { header: object; claims: object } | null
}

export interface DeadLetter {
  id: string
  seq: number
  attempts: number
  reason: string
  diedDateTime: string
}

export interface Redelivered {
  queued: string[]
  refused: { id: string; reason: 'unknown' | 'cut' | 'superseded' }[]
}

/** Milliseconds between two looks, however often something changes. */
const PACE = 1000

/** Looks again at streams when the server says that some changed. */
export function useLiveStreams(): void {
  const queries = useQueryClient()
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  useLive(
    ['streams'],
    useCallback(
      (event: string) => {
        if (event !== 'streams') return
        timer.current ??= setTimeout(() => {
          timer.current = undefined
          void queries.invalidateQueries({ queryKey: ['streams'] })
        }, PACE)
      },
      [queries],
    ),
  )
}

/** Whom an event is about, where that is one user. */
export function userOf({ subject }: Delivery): string | undefined {
  return subject.user?.sub ?? (subject.format === 'iss_sub' ? subject.sub : undefined)
}
