import { Button, Stack } from '@mantine/core'
import { type Grant, type Session, type UserDetail, useGrants, useSessions } from '../../api/users.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Empty } from '../../parts/empty.tsx'
import { useNames } from '../../parts/names.ts'
import { Row, Rows } from '../../parts/rows.tsx'
import { Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { useSession } from '../../session/context.ts'
import { t } from '../../texts/texts.ts'

/** What is open of somebody: browsers in which they are signed in, and applications that hold tokens; each can be ended alone. */
export function Sessions({ user }: { user: UserDetail }) {
  return (
    <Stack gap="md">
      <Browsers user={user} />
      <Applications user={user} />
    </Stack>
  )
}

function Browsers({ user }: { user: UserDetail }) {
  const sessions = useSessions(user.id)
  const mine = useSession().account.idTokenClaims?.sid
  const confirm = useConfirm()
  const write = useWrite()
  const end = (session: Session) =>
    confirm({
      title: t('users.sessions.endTitle'),
      text: t('users.sessions.endText', { name: user.displayName }),
      ...(session.id === mine ? { affects: [t('users.sessions.mineText')] } : {}),
      action: t('users.sessions.end'),
      run: () =>
        write('POST', `/caegis/sessions/${encodeURIComponent(session.id)}/revoke`, {
          ...{ done: t('users.sessions.ended'), proof: true, changes: session.id === mine ? [] : ['users'] },
        }),
    })
  return (
    <Section title={t('users.sessions.title')} text={t('users.sessions.text')}>
      <Answered query={sessions} rows={3}>
        {(all) =>
          all.length === 0 ? (
            <Empty icon="signIn" title={t('users.sessions.none')} text={t('users.sessions.noneText', { name: user.displayName })} />
          ) : (
            <Rows>
              {all.map((session) => (
                <Row
                  key={session.id}
                  name={
                    <>
                      {t('users.sessions.signedIn')} <When at={session.signInDateTime} />{' '}
                      {session.id === mine && <Status tone="info">{t('users.sessions.mine')}</Status>}
                    </>
                  }
                  detail={
                    <>
                      {t('users.sessions.until')} <When at={session.tokensUntilDateTime} /> ·{' '}
                      <CopyId value={session.id} label={t('users.sessions.id')} />
                    </>
                  }
                >
                  <Button variant="default" size="xs" onClick={() => end(session)}>
                    {t('users.sessions.end')}
                  </Button>
                </Row>
              ))}
            </Rows>
          )
        }
      </Answered>
    </Section>
  )
}

function Applications({ user }: { user: UserDetail }) {
  const grants = useGrants(user.id)
  const names = useNames('applications', grants.data?.map(({ clientId }) => clientId) ?? [])
  const confirm = useConfirm()
  const write = useWrite()
  const nameOf = ({ clientId }: Grant) => names.get(clientId)?.name ?? clientId
  const end = (grant: Grant) =>
    confirm({
      title: t('users.grants.endTitle', { app: nameOf(grant), name: user.displayName }),
      text: t('users.grants.endText', { app: nameOf(grant) }),
      action: t('users.grants.end'),
      run: () =>
        write('DELETE', `/oauth2PermissionGrants/${grant.id}`, {
          ...{ done: t('users.grants.ended', { app: nameOf(grant) }), proof: true, changes: ['users'] },
        }),
    })
  return (
    <Section title={t('users.grants.title')} text={t('users.grants.text')}>
      <Answered query={grants} rows={3}>
        {(all) =>
          all.length === 0 ? (
            <Empty icon="application" title={t('users.grants.none')} text={t('users.grants.noneText', { name: user.displayName })} />
          ) : (
            <Rows>
              {all.map((grant) => (
                <Row
                  key={grant.id}
                  name={nameOf(grant)}
                  detail={
                    <>
                      {t('users.grants.last')} <When at={grant.lastTokenDateTime} />
                      {grant.scope !== '' && ` · ${grant.scope.split(' ').join(', ')}`}
                    </>
                  }
                >
                  <Button variant="default" size="xs" onClick={() => end(grant)} aria-label={t('users.grants.endLabel', { app: nameOf(grant) })}>
                    {t('users.grants.end')}
                  </Button>
                </Row>
              ))}
            </Rows>
          )
        }
      </Answered>
    </Section>
  )
}
