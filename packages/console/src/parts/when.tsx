import { Text, Tooltip } from '@mantine/core'
import { useEffect, useState } from 'react'
import { t } from '../texts/texts.ts'

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const exact = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })

/** A moment as people say it; exactly when one points at it, and always in `datetime`. */
export function When({ at }: { at: string | null | undefined }) {
  const [, again] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => again((count) => count + 1), 10_000)
    return () => clearInterval(timer)
  }, [])
  if (!at)
    return (
      <Text span inherit>
        {t('parts.never')}
      </Text>
    )
  const date = new Date(at)
  const seconds = Math.round((date.getTime() - Date.now()) / 1000)
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1]
  return (
    <Tooltip label={exact.format(date)}>
      <Text span inherit component="time" dateTime={at} style={{ whiteSpace: 'nowrap' }}>
        {relative.format(Math.round(seconds / size), unit)}
      </Text>
    </Tooltip>
  )
}

/** Milliseconds as people read them: 4 ms, 1.2 s, 3 min. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 1 : 0)} s`
  if (milliseconds < 3_600_000) return `${Math.round(milliseconds / 60_000)} min`
  return `${(milliseconds / 3_600_000).toFixed(1)} h`
}
