import type { Mistake } from '@caegis/policy'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useLocation } from 'wouter'
import { ApiError } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { POLICIES, type StoredPolicy } from '../../api/policies.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useNotify } from '../../parts/notices.tsx'
import { t } from '../../texts/texts.ts'
import { isOwnBlock } from './change-state.ts'
import { bodyOf, type Draft, valueAt } from './draft.ts'

export interface Saving {
  busy: boolean
  /** What went wrong, and is not a mistake of a field. */
  error: unknown
  /** Mistakes of fields, and the draft that has them. */
  refused: { error: ApiError; sent: Draft } | undefined
  /** @returns the mistakes that the server found */
  save(options?: { sure?: boolean; etag?: string }): Promise<Mistake[]>
  forget(): void
}

/** Sends a policy. Whoever would keep themselves out is asked a second time. */
export function useSave({ draft, stored, finished }: { draft: Draft; stored: StoredPolicy | undefined; finished(): void }): Saving {
  const api = useApi()
  const confirm = useConfirm()
  const notify = useNotify()
  const queries = useQueryClient()
  const [, go] = useLocation()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const [refused, setRefused] = useState<Saving['refused']>()

  async function send(sure: boolean, etag: string | undefined): Promise<void> {
    const query = sure ? '?confirm=true' : ''
    const { txn, body } = stored
      ? await api.send<undefined>('PATCH', `${POLICIES}/${stored.policy.id}${query}`, bodyOf(draft), { 'if-match': etag ?? stored.etag })
      : await api.send<{ id: string }>('POST', `${POLICIES}${query}`, bodyOf(draft))
    finished()
    notify({ text: t('policies.done.saved', { name: draft.displayName }), txn })
    const id = stored?.policy.id ?? body?.id
    await queries.invalidateQueries({ queryKey: ['policies'] })
    go(`/policies/${id}${txn ? `?txn=${txn}` : ''}`, { replace: stored !== undefined })
  }

  async function save({ sure = false, etag }: { sure?: boolean; etag?: string } = {}): Promise<Mistake[]> {
    setBusy(true)
    setError(undefined)
    setRefused(undefined)
    try {
      await send(sure, etag)
      return []
    } catch (reason) {
      if (isOwnBlock(reason)) {
        confirm({
          ...{ title: t('policies.ownBlock.title'), text: t('policies.ownBlock.text'), action: t('policies.ownBlock.action') },
          ...{ typed: draft.displayName, run: () => send(true, etag) },
        })
        return []
      }
      if (reason instanceof ApiError && reason.details.length > 0) {
        setRefused({ error: reason, sent: draft })
        return reason.details.map(({ target, message }) => ({ path: target, message }))
      }
      if (reason instanceof ApiError && reason.code === 'policy_exists') {
        setRefused({
          error: new ApiError(reason.status, reason.code, reason.message, [{ target: '/displayName', message: reason.message }]),
          sent: draft,
        })
        return [{ path: '/displayName', message: reason.message }]
      }
      setError(reason)
      return []
    } finally {
      setBusy(false)
    }
  }

  const forget = () => {
    setError(undefined)
    setRefused(undefined)
  }
  return { busy, error, refused, save, forget }
}

/** Members of a policy that differ, by their pointers: what somebody else changed meanwhile. */
export function differences(one: Draft, other: Draft): string[] {
  const pointers = [
    ...['/displayName', '/description', '/state', '/grantControls', '/sessionControls'],
    ...Object.keys(one.conditions).map((name) => `/conditions/${name}`),
  ]
  return pointers.filter((pointer) => JSON.stringify(valueAt(one, pointer)) !== JSON.stringify(valueAt(other, pointer)))
}
