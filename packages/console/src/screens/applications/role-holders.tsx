import { ActionIcon, Anchor, Button, Group, SegmentedControl, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { Link } from 'wouter'
import { type Application, principalPath, type RoleAssignment, useRoleAssignments } from '../../api/applications.ts'
import { Answered } from '../../parts/answered.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { Grid } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Pick } from '../../parts/pick.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Section } from '../../parts/section.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** Who holds its roles, which stand in the tokens that are issued for it. */
export function RoleHolders({ application: { appId, displayName } }: { application: Application }) {
  const assignments = useRoleAssignments(appId)
  const write = useWrite()
  const confirm = useConfirm()
  const nameOf = ({ principalDisplayName, principalId }: RoleAssignment) => principalDisplayName ?? principalId
  const remove = (one: RoleAssignment) =>
    confirm({
      title: t('applications.roles.removeTitle', { role: one.appRoleId, name: nameOf(one) }),
      text: t(one.principalType === 'Group' ? 'applications.roles.removeGroup' : 'applications.roles.removeUser', { application: displayName }),
      action: t('applications.roles.remove'),
      run: () =>
        write('DELETE', `${principalPath(appId)}/appRoleAssignedTo/${one.id}`, {
          ...{ done: t('applications.roles.removed'), changes: ['applications'] },
        }),
    })
  return (
    <Section title={t('applications.roles.title')} text={t('applications.roles.text')}>
      <Answered query={assignments} rows={2}>
        {({ value }) =>
          value.length === 0 ? (
            <Text size="sm">{t('applications.roles.none')}</Text>
          ) : (
            <Grid
              label={t('applications.roles.title')}
              rows={value}
              rowKey={({ id }) => id}
              minWidth={420}
              columns={[
                {
                  header: t('applications.roles.holder'),
                  cell: (one) => (
                    <>
                      <Anchor component={Link} size="sm" href={`/${one.principalType === 'Group' ? 'groups' : 'users'}/${one.principalId}`}>
                        {nameOf(one)}
                      </Anchor>{' '}
                      <Text span size="xs" c="dimmed">
                        {t(one.principalType === 'Group' ? 'applications.roles.group' : 'applications.roles.user')}
                      </Text>
                    </>
                  ),
                },
                { header: t('applications.roles.role'), cell: ({ appRoleId }) => appRoleId },
                {
                  header: t('applications.actions'),
                  right: true,
                  cell: (one) => (
                    <ActionIcon
                      variant="subtle"
                      color="red"
                      onClick={() => remove(one)}
                      aria-label={t('applications.roles.removeOne', { role: one.appRoleId, name: nameOf(one) })}
                    >
                      <Icon name="trash" />
                    </ActionIcon>
                  ),
                },
              ]}
            />
          )
        }
      </Answered>
      <Give appId={appId} />
    </Section>
  )
}

function Give({ appId }: { appId: string }) {
  const write = useWrite()
  const [kind, setKind] = useState<'users' | 'groups'>('users')
  const [holder, setHolder] = useState<string[]>([])
  const [role, setRole] = useState('')
  const { busy, error, work } = useWork()
  const give = () =>
    work(async () => {
      const body = { principalId: holder[0], appRoleId: role.trim() }
      await write('POST', `${principalPath(appId)}/appRoleAssignedTo`, { body, done: t('applications.roles.given'), changes: ['applications'] })
      setHolder([])
    })
  return (
    <form onSubmit={submitting(give)}>
      <Stack gap="sm">
        <Group align="flex-end" gap="sm">
          <SegmentedControl
            aria-label={t('applications.roles.kind')}
            value={kind}
            onChange={(next) => {
              setKind(next as typeof kind)
              setHolder([])
            }}
            data={(['users', 'groups'] as const).map((value) => ({ value, label: t(`applications.roles.kinds.${value}`) }))}
          />
          <Pick key={kind} kind={kind} label={t('applications.roles.holder')} value={holder} onChange={setHolder} />
          <TextInput
            label={t('applications.roles.role')}
            value={role}
            onChange={(event) => setRole(event.currentTarget.value)}
            placeholder="Auditor"
            maxLength={128}
            autoComplete="off"
          />
          <Button type="submit" variant="default" loading={busy} disabled={holder.length === 0 || role.trim() === ''}>
            {t('applications.roles.give')}
          </Button>
        </Group>
        {Boolean(error) && <Problem error={error} />}
      </Stack>
    </form>
  )
}
