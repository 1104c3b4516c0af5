import { useLocation } from 'wouter'
import type { Page } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import type { Grant, Session, User, UserDetail } from '../../api/users.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useDelete } from '../../parts/delete.ts'
import { namesOf } from '../../parts/names.ts'
import { useWrite } from '../../parts/write.ts'
import { useSession } from '../../session/context.ts'
import { t, tn } from '../../texts/texts.ts'

/** What ends one person's access or gives it back, each after it was said what it does and to how much. */
export function useUserActions(user: UserDetail) {
  const api = useApi()
  const confirm = useConfirm()
  const write = useWrite()
  const leave = useDelete()
  const [, navigate] = useLocation()
  const name = user.displayName
  const isSelf = useSession().account.username.toLowerCase() === user.userPrincipalName.toLowerCase()

  /** What is open now, in lines for a person. */
  const whatIsOpen = async (): Promise<string[]> => {
    const [{ value: sessions }, { value: grants }] = await Promise.all([
      api.get<Page<Session>>(`/caegis/users/${user.id}/sessions`),
      api.get<Page<Grant>>(`/users/${user.id}/oauth2PermissionGrants`),
    ])
    const ids = grants.map(({ clientId }) => clientId)
    const names = await namesOf(api, 'applications', ids)
    const applications = [...new Set(ids.map((id) => names.get(id)?.name ?? id))]
    return [
      sessions.length === 0 ? t('users.open.noSessions') : tn('users.open.sessions', sessions.length),
      applications.length === 0 ? t('users.open.noApplications') : tn('users.open.applications', applications.length, { names: short(applications) }),
      ...(isSelf ? [t('users.open.self')] : []),
    ]
  }

  return {
    isSelf,

    revoke: () =>
      confirm({
        ...{ title: t('users.revoke.title', { name }), text: t('users.revoke.text', { name }), affects: whatIsOpen() },
        action: t('users.revoke.action'),
        async run() {
          const { txn } = await write('POST', `/users/${user.id}/revokeSignInSessions`, { changes: isSelf ? [] : ['users'] })
          if (txn !== undefined) navigate(`/revocations/${txn}`)
        },
      }),

    disable: () =>
      confirm({
        ...{ title: t('users.disable.title', { name }), text: t('users.disable.text', { name }), affects: whatIsOpen() },
        action: t('users.disable.action'),
        run: () =>
          write('PATCH', `/users/${user.id}`, {
            ...{ body: { accountEnabled: false }, done: t('users.disable.done', { name }), proof: true },
            changes: isSelf ? [] : ['users'],
          }),
      }),

    enable: () =>
      confirm({
        ...{ title: t('users.enable.title', { name }), text: t('users.enable.text', { name }), action: t('users.enable.action'), danger: false },
        run: () =>
          write('PATCH', `/users/${user.id}`, {
            ...{ body: { accountEnabled: true }, done: t('users.enable.done', { name }), proof: true, changes: ['users'] },
          }),
      }),

    remove: () =>
      confirm({
        ...{ title: t('users.delete.title', { name }), text: t('users.delete.text', { name }), affects: whatIsOpen() },
        ...{ action: t('users.delete.action'), typed: user.userPrincipalName },
        run: () =>
          leave({ path: `/users/${user.id}`, id: user.id, kind: 'users', done: t('users.delete.done', { name }), proof: true, to: '/users' }),
      }),

    giveAdmin: () =>
      confirm({
        ...{ title: t('users.roles.giveTitle', { name }), text: t('users.roles.giveText', { name }), action: t('users.roles.give'), danger: false },
        run: () =>
          write('POST', '/directoryRoles/admin/members/$ref', {
            body: { '@odata.id': `${location.origin}/v1.0/directoryObjects/${user.id}` },
            ...{ done: t('users.roles.given', { name }), proof: true, changes: ['users'] },
          }),
      }),

    takeAdmin: () =>
      confirm({
        ...{ title: t('users.roles.takeTitle', { name }), text: t('users.roles.takeText', { name }), action: t('users.roles.take') },
        affects: (async () => {
          const { value } = await api.get<Page<User>>('/directoryRoles/admin/members?$top=999')
          const others = value.filter(({ id }) => id !== user.id)
          const left =
            others.length === 0
              ? t('users.roles.last')
              : tn('users.roles.left', others.length, { names: short(others.map((one) => one.displayName)) })
          return [left, ...(isSelf ? [t('users.roles.self')] : [])]
        })(),
        run: () =>
          write('DELETE', `/directoryRoles/admin/members/${user.id}/$ref`, {
            ...{ done: t('users.roles.taken', { name }), proof: true, changes: ['users'] },
          }),
      }),
  }
}

/** The first few of many names. */
function short(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')}, …` : names.join(', ')
}
