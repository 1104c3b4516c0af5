import { Button, Group as Line, Stack, Tabs, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { Link, useLocation, useParams } from 'wouter'
import type { Page as Listed } from '../../api/client.ts'
import { useApi } from '../../api/context.ts'
import { type Group, isKnown, type Member, useGroup } from '../../api/groups.ts'
import { useRefresh } from '../../api/refresh.ts'
import { Answered } from '../../parts/answered.tsx'
import { AuditTable } from '../../parts/audit-table.tsx'
import { useConfirm } from '../../parts/confirm.tsx'
import { CopyId } from '../../parts/copy.tsx'
import { useDelete } from '../../parts/delete.ts'
import { Page } from '../../parts/page.tsx'
import { Problem } from '../../parts/problem.tsx'
import { When } from '../../parts/when.tsx'
import { t, tn } from '../../texts/texts.ts'
import { EditGroup } from './edit.tsx'
import { Members } from './members.tsx'
import { Within } from './within.tsx'

const TABS = ['members', 'within', 'audit'] as const

/** One group: who is in it, where it is, and who changed that. */
export function GroupScreen() {
  const { id = '', tab = 'members' } = useParams()
  const [, navigate] = useLocation()
  const query = useGroup(id)
  const group = query.data
  useRefresh(['events'], ['groups', id])
  if (!group)
    return (
      <Page title={t('groups.one')}>
        <Answered query={query}>{() => null}</Answered>
        {query.error && (
          <div>
            <Button component={Link} href="/groups" variant="default">
              {t('groups.back')}
            </Button>
          </div>
        )}
      </Page>
    )
  const shown = TABS.find((name) => name === tab) ?? 'members'
  return (
    <Page title={group.displayName} actions={<Actions group={group} />}>
      {Boolean(query.error) && <Problem error={query.error} retry={() => query.refetch()} />}
      <Stack gap={4}>
        {group.description && <Text maw={720}>{group.description}</Text>}
        <Line gap="md">
          <Text component="div" size="sm" c="dimmed">
            {t('groups.id')} <CopyId value={group.id} label={t('groups.id')} />
          </Text>
          {isKnown(group.createdDateTime) && (
            <Text component="div" size="sm" c="dimmed">
              {t('groups.created')} <When at={group.createdDateTime} />
            </Text>
          )}
        </Line>
      </Stack>
      <Tabs value={shown} onChange={(value) => navigate(value === 'members' ? `/groups/${id}` : `/groups/${id}/${value}`)} keepMounted={false}>
        <Tabs.List mb="md">
          {TABS.map((name) => (
            <Tabs.Tab key={name} value={name}>
              {t(`groups.tabs.${name}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="members">
          <Members group={group} />
        </Tabs.Panel>
        <Tabs.Panel value="within">
          <Within group={group} />
        </Tabs.Panel>
        <Tabs.Panel value="audit">
          <AuditTable queryKey={['groups', group.id, 'audit']} target={group.id} none={t('groups.auditNone')} />
        </Tabs.Panel>
      </Tabs>
    </Page>
  )
}

interface Named {
  displayName: string
}

function Actions({ group }: { group: Group }) {
  const api = useApi()
  const confirm = useConfirm()
  const leave = useDelete()
  const [editing, { open, close }] = useDisclosure(false)

  /** Whose tokens and whose policies say something else without it. */
  const whoIsHit = async (): Promise<string[]> => {
    const [people, { value: policies }] = await Promise.all([
      api.get<Listed<Member>>(`/groups/${group.id}/transitiveMembers/microsoft.graph.user?$top=3&$count=true`, { eventual: true }),
      api.get<Listed<Named>>('/identity/conditionalAccess/policies?$top=999'),
    ])
    const count = people['@odata.count'] ?? people.value.length
    const names = people.value.map(({ displayName }) => displayName).join(', ') + (count > people.value.length ? ', …' : '')
    const naming = policies.filter((policy) => JSON.stringify(policy).includes(group.id)).map(({ displayName }) => displayName)
    return [
      count === 0 ? t('groups.delete.nobody') : tn('groups.delete.people', count, { names }),
      ...(naming.length > 0 ? [tn('groups.delete.policies', naming.length, { names: naming.join(', ') })] : []),
    ]
  }
  const remove = () =>
    confirm({
      ...{ title: t('groups.delete.title', { name: group.displayName }), text: t('groups.delete.text'), affects: whoIsHit() },
      ...{ action: t('groups.delete.action'), typed: group.displayName },
      run: () =>
        leave({
          ...{ path: `/groups/${group.id}`, id: group.id, kind: 'groups', to: '/groups' },
          ...{ done: t('groups.delete.done', { name: group.displayName }), proof: true },
        }),
    })
  return (
    <>
      <Button variant="default" onClick={open}>
        {t('groups.rename')}
      </Button>
      <Button variant="default" c="var(--mantine-color-error)" onClick={remove}>
        {t('groups.delete.open')}
      </Button>
      <EditGroup group={group} opened={editing} onClose={close} />
    </>
  )
}
