import { Affix, Anchor, Notification, Stack } from '@mantine/core'
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from 'react'
import { Link } from 'wouter'
import { t } from '../texts/texts.ts'
import { Icon } from './icon.tsx'

export interface Notice {
  text: string
  /** By which the way of a change can be followed. */
  txn?: string | undefined
  tone?: 'good' | 'bad'
}

const NoticeContext = createContext<((notice: Notice) => void) | undefined>(undefined)

/** Milliseconds that a notice stays; with a link to follow, longer. */
const STAYS = { plain: 6000, link: 15_000 }

/** Says what was done, where it is heard too, and leads to the proof that it arrived. */
export function NoticeProvider({ children }: { children: ReactNode }) {
  const [notices, setNotices] = useState<(Notice & { key: number })[]>([])
  const drop = useCallback((key: number) => setNotices((all) => all.filter((one) => one.key !== key)), [])
  const notify = useCallback(
    (notice: Notice) => {
      const key = Math.random()
      setNotices((all) => [...all.slice(-2), { ...notice, key }])
      setTimeout(() => drop(key), notice.txn ? STAYS.link : STAYS.plain)
    },
    [drop],
  )
  return (
    <NoticeContext value={useMemo(() => notify, [notify])}>
      {children}
      <Affix position={{ bottom: 16, right: 16 }} zIndex={400} maw="calc(100vw - 2rem)">
        <Stack gap="xs" role="status" aria-live="polite">
          {notices.map(({ key, text, txn, tone = 'good' }) => (
            <Notification
              key={key}
              withBorder
              color={tone === 'good' ? 'green' : 'red'}
              icon={<Icon name={tone === 'good' ? 'check' : 'cross'} />}
              closeButtonProps={{ 'aria-label': t('parts.close') }}
              onClose={() => drop(key)}
            >
              {text}{' '}
              {txn && (
                <Anchor component={Link} href={`/revocations/${txn}`} size="sm">
                  {t('parts.proof')}
                </Anchor>
              )}
            </Notification>
          ))}
        </Stack>
      </Affix>
    </NoticeContext>
  )
}

export function useNotify(): (notice: Notice) => void {
  const notify = useContext(NoticeContext)
  if (!notify) throw new TypeError('useNotify stands outside of a NoticeProvider')
  return notify
}
