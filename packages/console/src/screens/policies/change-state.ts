import type { PolicyState } from '@caegis/policy'
import { useQueryClient } from '@tanstack/react-query'
import type { Api } from '../../api/client.ts'
import { ApiError } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { type Impact, POLICIES, type StoredPolicy } from '../../api/policies.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useDelete } from '../../parts/delete.ts'
import { type Kind, namesOf } from '../../parts/names.ts'
import { useNotify } from '../../parts/notices.tsx'
import { t } from '../../texts/texts.ts'
import { controlsText, isWord, type NameOf, whatText, whereText, whoText } from './describe.ts'
import { impactText } from './impact-text.ts'

/** Whom a policy hits, in lines, with names; what it would have meant is asked of the server where it is not enforced yet. */
export async function whomItHits(api: Api, { policy }: StoredPolicy, places: ReadonlyMap<string, string>): Promise<string[]> {
  const { users, applications, clientApplications } = policy.conditions
  const wanted: Record<Kind, readonly string[]> = {
    users: [...users.includeUsers, ...users.excludeUsers],
    groups: [...users.includeGroups, ...users.excludeGroups],
    applications: [...applications.includeApplications, ...applications.excludeApplications],
    servicePrincipals: [...(clientApplications?.includeServicePrincipals ?? []), ...(clientApplications?.excludeServicePrincipals ?? [])],
  }
  const names = new Map(places)
  for (const [kind, ids] of Object.entries(wanted) as [Kind, readonly string[]][]) {
    const some = ids.filter((id) => !isWord(id))
    if (some.length > 0) for (const [id, { name }] of await namesOf(api, kind, some)) names.set(id, name)
  }
  const nameOf: NameOf = (_, id) => names.get(id) ?? id
  const where = whereText(policy, nameOf)
  return [
    t('policies.hits.who', { text: whoText(policy, nameOf) }),
    t('policies.hits.what', { text: whatText(policy, nameOf) }),
    ...(where === undefined ? [] : [t('policies.hits.where', { text: where })]),
    t('policies.hits.controls', { text: controlsText(policy).join('; ') }),
    ...(policy.state === 'enabled' ? [] : [impactText(await api.get<Impact>(`${POLICIES}/${policy.id}/impact`))]),
  ]
}

/** Whether the server says that a policy would keep its author out of the admin API. */
export function isOwnBlock(error: unknown): error is ApiError {
  return error instanceof ApiError && error.code === 'wouldBlockAuthor'
}

/** Changes a policy's state, or deletes it, from a list: asked first, by whom it hits. */
export function usePolicyActions(places: ReadonlyMap<string, string>) {
  const api = useApi()
  const confirm = useConfirm()
  const notify = useNotify()
  const queries = useQueryClient()
  const leave = useDelete()

  const write = async ({ policy, etag }: StoredPolicy, to: PolicyState, sure: boolean): Promise<void> => {
    try {
      const { txn } = await api.send('PATCH', `${POLICIES}/${policy.id}${sure ? '?confirm=true' : ''}`, { state: to }, { 'if-match': etag })
      notify({ text: t(`policies.done.${to}`, { name: policy.displayName }), txn })
    } catch (error) {
      if (!isOwnBlock(error)) throw error
      // One question after the other: the first closes when this returns.
      setTimeout(() =>
        confirm({
          ...{ title: t('policies.ownBlock.title'), text: t('policies.ownBlock.text'), action: t('policies.ownBlock.action') },
          ...{ typed: policy.displayName, run: () => write({ policy, etag }, to, true) },
        }),
      )
    } finally {
      await queries.invalidateQueries({ queryKey: ['policies'] })
    }
  }

  return {
    setState(stored: StoredPolicy, to: PolicyState): void {
      const { displayName: name } = stored.policy
      confirm({
        ...{ title: t(`policies.ask.${to}.title`, { name }), text: t(`policies.ask.${to}.text`), action: t(`policies.ask.${to}.action`) },
        ...{ danger: to !== 'enabledForReportingButNotEnforced', affects: whomItHits(api, stored, places), run: () => write(stored, to, false) },
      })
    },
    remove(stored: StoredPolicy): void {
      const { policy, etag } = stored
      confirm({
        ...{
          title: t('policies.ask.remove.title', { name: policy.displayName }),
          text: t('policies.ask.remove.text'),
          action: t('policies.ask.remove.action'),
        },
        affects: whomItHits(api, stored, places),
        run: () =>
          leave({
            ...{ path: `${POLICIES}/${policy.id}`, headers: { 'if-match': etag }, id: policy.id, kind: 'policies', to: '/policies' },
            ...{ done: t('policies.done.removed', { name: policy.displayName }), proof: true },
          }),
      })
    },
  }
}
