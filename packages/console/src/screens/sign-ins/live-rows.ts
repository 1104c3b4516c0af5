import { useQueryClient } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { useLive } from '../../api/live.tsx'
import { matches, type SignIn, type SignInQuery } from '../../api/sign-ins.ts'
import { useLater } from '../../parts/later.ts'

/** Rows that came while the page was open and are not among those that were asked for. */
const MOST = 200

/** What was asked for, with what came meanwhile in front, and each row as it was told last. */
export function useLiveSignIns(rows: SignIn[] | undefined, query: SignInQuery, live: boolean): SignIn[] | undefined {
  const [come, setCome] = useState<ReadonlyMap<string, SignIn>>(new Map())
  const paused = useRef(false)
  const key = JSON.stringify(query)
  // biome-ignore lint/correctness/useExhaustiveDependencies: another question has other answers
  useEffect(() => setCome(new Map()), [key])
  const queries = useQueryClient()
  // What came meanwhile, or was too much to be told one by one, is asked for.
  const again = useLater(() => void queries.invalidateQueries({ queryKey: ['signIns'] }), 1000)
  // biome-ignore lint/correctness/useExhaustiveDependencies: only being turned on again
  useEffect(() => {
    if (live && paused.current) again()
    paused.current = !live
  }, [live])
  useLive(
    ['signIns'],
    useCallback(
      (event, data) => {
        if (!live) return
        if (event === 'missed') again()
        if (event !== 'signIn') return
        const one = data as SignIn
        setCome((before) => new Map([...before, [one.id, one] as const].slice(-MOST)))
      },
      [live, again],
    ),
  )
  return useMemo(() => {
    if (!rows) return rows
    const known = new Set(rows.map(({ id }) => id))
    const asked = JSON.parse(key) as SignInQuery
    const fresh = [...come.values()].filter((one) => !known.has(one.id) && matches(one, asked)).sort((a, b) => (a.id < b.id ? 1 : -1))
    return [...fresh, ...rows.map((one) => come.get(one.id) ?? one)]
  }, [rows, come, key])
}
