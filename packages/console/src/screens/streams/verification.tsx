import { Alert } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { useApi } from '../../api/context.ts'
import type { Stream } from '../../api/streams.ts'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { t } from '../../texts/texts.ts'

/** Milliseconds between two looks while the answer is awaited, and after which it is said that it takes long. */
const LOOK = 1500
const LONG = 15_000

type State = { is: 'asked' | 'slow'; before: string | null } | { is: 'verified' } | { is: 'refused'; error: unknown } | undefined

export interface VerificationState {
  state: State
  ask(): Promise<void>
  forget(): void
}

/** Asks for a verification event, and waits until the receiver has acknowledged it. */
export function useVerification(stream: Stream): VerificationState {
  const api = useApi()
  const queries = useQueryClient()
  const [state, setState] = useState<State>()
  const waiting = state?.is === 'asked' || state?.is === 'slow'
  if (waiting && stream.verifiedDateTime !== state.before) setState({ is: 'verified' })
  useEffect(() => {
    if (!waiting) return
    const looking = setInterval(() => void queries.invalidateQueries({ queryKey: ['streams', stream.id], exact: true }), LOOK)
    const long = setTimeout(() => setState((now) => (now?.is === 'asked' ? { ...now, is: 'slow' } : now)), LONG)
    return () => {
      clearInterval(looking)
      clearTimeout(long)
    }
  }, [waiting, queries, stream.id])
  return {
    state,
    forget: () => setState(undefined),
    async ask() {
      setState({ is: 'asked', before: stream.verifiedDateTime })
      try {
        await api.send('POST', `/caegis/streams/${stream.id}/verify`)
      } catch (error) {
        setState({ is: 'refused', error })
      }
    },
  }
}

/** What came of it, as soon as it is known. */
export function Verification({ state: { state, forget }, stream }: { state: VerificationState; stream: Stream }) {
  if (state?.is === 'refused') return <Problem error={state.error} />
  return (
    // Empty it takes no room, and is there to be heard.
    <div role="status" aria-live="polite" style={state ? {} : { marginBottom: 'calc(-1 * var(--mantine-spacing-md))' }}>
      {state && (
        <Alert
          variant="light"
          color={state.is === 'verified' ? 'green' : state.is === 'slow' ? 'orange' : 'blue'}
          icon={<Icon name={state.is === 'verified' ? 'check' : 'clock'} />}
          withCloseButton
          closeButtonLabel={t('parts.close')}
          onClose={forget}
        >
          {state.is === 'slow' ? t(stream.lane ? 'streams.verify.slowPush' : 'streams.verify.slowPoll') : t(`streams.verify.${state.is}`)}
        </Alert>
      )}
    </div>
  )
}
