import { Anchor, Button, SimpleGrid, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useState } from 'react'
import { Link } from 'wouter'
import { type Method, type UserDetail, useMethods, useOf } from '../../api/users.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { Pick } from '../../parts/pick.tsx'
import { Adder, Row, Rows } from '../../parts/rows.tsx'
import { Facts, Section } from '../../parts/section.tsx'
import { When } from '../../parts/when.tsx'
import { useWrite } from '../../parts/write.ts'
import { isText, t } from '../../texts/texts.ts'
import { useUserActions } from './actions.ts'
import { EditUser } from './edit.tsx'

/** Who somebody is, what they prove themselves with, what they belong to and what they may do. */
export function Overview({ user }: { user: UserDetail }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
      <Stack gap="md">
        <Profile user={user} />
        <Roles user={user} />
      </Stack>
      <Stack gap="md">
        <Methods user={user} />
        <Groups user={user} />
      </Stack>
    </SimpleGrid>
  )
}

function Profile({ user }: { user: UserDetail }) {
  const [editing, { open, close }] = useDisclosure(false)
  return (
    <Section
      title={t('users.profile.title')}
      actions={
        <Button variant="default" size="xs" onClick={open}>
          {t('users.profile.edit')}
        </Button>
      }
    >
      <Facts
        entries={[
          [t('users.userPrincipalName'), user.userPrincipalName],
          [t('users.profile.names'), [user.givenName, user.surname].filter(Boolean).join(' ') || t('users.profile.nothing')],
          [t('users.profile.mail'), user.mail ?? t('users.profile.nothing')],
          [t('users.kind'), user.userType === 'Guest' ? t('users.guest') : t('users.member')],
          [t('users.profile.created'), <When key="created" at={user.createdDateTime} />],
          [t('users.profile.password'), <When key="password" at={user.lastPasswordChangeDateTime} />],
          [t('users.profile.validFrom'), <When key="valid" at={user.signInSessionsValidFromDateTime} />],
          [t('users.profile.id'), <CopyId key="id" value={user.id} label={t('users.profile.id')} />],
        ]}
      />
      <EditUser user={user} opened={editing} onClose={close} />
    </Section>
  )
}

function Roles({ user }: { user: UserDetail }) {
  const { giveAdmin, takeAdmin } = useUserActions(user)
  const isAdmin = user.directoryRoles.includes('admin')
  return (
    <Section
      title={t('users.roles.title')}
      text={isAdmin ? t('users.roles.is') : t('users.roles.isNot')}
      actions={
        <Button variant="default" size="xs" onClick={isAdmin ? takeAdmin : giveAdmin}>
          {isAdmin ? t('users.roles.take') : t('users.roles.give')}
        </Button>
      }
    />
  )
}

const PASSWORD = '#microsoft.graph.passwordAuthenticationMethod'

function Methods({ user }: { user: UserDetail }) {
  const methods = useMethods(user.id)
  const confirm = useConfirm()
  const write = useWrite()
  const remove = (method: Method) => {
    const what = nameOf(method)
    confirm({
      ...{ title: t('users.methods.removeTitle', { what }), text: t('users.methods.removeText', { what, name: user.displayName }) },
      action: t('users.methods.remove'),
      run: () =>
        write('DELETE', `/users/${user.id}/authentication/methods/${method.id}`, {
          ...{ done: t('users.methods.removed', { what }), proof: true, changes: ['users'] },
        }),
    })
  }
  return (
    <Section title={t('users.methods.title')} text={t('users.methods.text')}>
      <Answered query={methods} rows={2}>
        {(all) =>
          all.length === 0 ? (
            <Text size="sm">{t('users.methods.none')}</Text>
          ) : (
            <Rows>
              {all.map((method) => (
                <Row
                  key={method.id}
                  name={nameOf(method)}
                  detail={
                    <>
                      {t('users.methods.since')} <When at={method.createdDateTime} />
                      {method.lastUsedDateTime && (
                        <>
                          {' · '}
                          {t('users.methods.used')} <When at={method.lastUsedDateTime} />
                        </>
                      )}
                    </>
                  }
                  {...(method['@odata.type'] === PASSWORD
                    ? {}
                    : { remove: () => remove(method), removeLabel: t('users.methods.removeLabel', { what: nameOf(method) }) })}
                />
              ))}
            </Rows>
          )
        }
      </Answered>
    </Section>
  )
}

function nameOf(method: Method): string {
  const key = `users.methods.types.${method['@odata.type'].split('.').at(-1)?.replace('AuthenticationMethod', '')}`
  const kind = isText(key) ? t(key) : method['@odata.type']
  return method.displayName && method.displayName !== kind ? `${kind}: ${method.displayName}` : kind
}

interface GroupOf {
  id: string
  displayName: string
}

function Groups({ user }: { user: UserDetail }) {
  const direct = useOf<GroupOf>(user.id, 'groups', `/users/${user.id}/memberOf?$top=999&$orderby=displayName&$select=id,displayName`)
  const all = useOf<GroupOf>(user.id, 'all-groups', `/users/${user.id}/transitiveMemberOf?$top=999&$orderby=displayName&$select=id,displayName`)
  const [chosen, setChosen] = useState<string[]>([])
  const confirm = useConfirm()
  const write = useWrite()
  const add = async () => {
    for (const group of chosen)
      await write('POST', `/groups/${group}/members/$ref`, {
        body: { '@odata.id': `${location.origin}/v1.0/users/${user.id}` },
        changes: ['users', 'groups'],
        done: t('users.groups.added', { name: user.displayName }),
        proof: true,
      })
    setChosen([])
  }
  const remove = (group: GroupOf) =>
    confirm({
      title: t('users.groups.removeTitle', { name: user.displayName, group: group.displayName }),
      text: t('users.groups.removeText', { name: user.displayName }),
      action: t('users.groups.remove'),
      run: () =>
        write('DELETE', `/groups/${group.id}/members/${user.id}/$ref`, {
          ...{ changes: ['users', 'groups'], done: t('users.groups.removed', { name: user.displayName, group: group.displayName }), proof: true },
        }),
    })
  const through = all.data?.filter(({ id }) => !direct.data?.some((one) => one.id === id)) ?? []
  return (
    <Section title={t('users.groups.title')}>
      <Answered query={direct} rows={2}>
        {(groups) => (
          <Stack gap="sm">
            {groups.length === 0 && <Text size="sm">{t('users.groups.none')}</Text>}
            <Rows>
              {groups.map((group) => (
                <Row
                  key={group.id}
                  name={
                    <Anchor component={Link} href={`/groups/${group.id}`} size="sm">
                      {group.displayName}
                    </Anchor>
                  }
                  remove={() => remove(group)}
                  removeLabel={t('users.groups.removeLabel', { group: group.displayName })}
                />
              ))}
            </Rows>
            {through.length > 0 && (
              <Text size="sm" c="dimmed">
                {t('users.groups.through')}{' '}
                {through.map((group, at) => (
                  <span key={group.id}>
                    {at > 0 && ', '}
                    <Anchor component={Link} href={`/groups/${group.id}`} size="sm" underline="always">
                      {group.displayName}
                    </Anchor>
                  </span>
                ))}
              </Text>
            )}
            <Adder label={t('users.groups.add')} onAdd={add} empty={chosen.length === 0}>
              <Pick kind="groups" label={t('users.groups.pick')} value={chosen} onChange={setChosen} multiple without={groups.map(({ id }) => id)} />
            </Adder>
          </Stack>
        )}
      </Answered>
    </Section>
  )
}
