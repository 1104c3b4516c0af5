import { ActionIcon, Group as Line, SegmentedControl, SimpleGrid, Stack, Tooltip } from '@mantine/core'
import { useState } from 'react'
import { useList } from '../../api/context.ts'
import type { Group, Member } from '../../api/groups.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Empty } from '../../parts/empty.tsx'
import { useFilters } from '../../parts/filters.ts'
import type { Column } from '../../parts/grid.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { Pick } from '../../parts/pick.tsx'
import { Adder } from '../../parts/rows.tsx'
import { Section } from '../../parts/section.tsx'
import { Status } from '../../parts/status.tsx'
import { useWrite } from '../../parts/write.ts'
import { t, tn } from '../../texts/texts.ts'

/** Who is in a group: users, and groups with all that is in them. */
export function Members({ group }: { group: Group }) {
  const [{ show }, setFilters] = useFilters(['show'])
  const deep = show === 'all'
  return (
    <Stack gap="md">
      <Section title={t('groups.members.add')} text={t('groups.members.addText')}>
        <SimpleGrid cols={{ base: 1, md: 2 }}>
          <Add group={group} kind="users" />
          <Add group={group} kind="groups" />
        </SimpleGrid>
      </Section>
      <Line>
        <SegmentedControl
          aria-label={t('groups.members.show')}
          value={deep ? 'all' : 'direct'}
          onChange={(value) => setFilters({ show: value === 'all' ? 'all' : '' })}
          data={[
            { value: 'direct', label: t('groups.members.direct') },
            { value: 'all', label: t('groups.members.all') },
          ]}
        />
      </Line>
      <MemberTable key={String(deep)} group={group} deep={deep} />
    </Stack>
  )
}

function Add({ group, kind }: { group: Group; kind: 'users' | 'groups' }) {
  const [chosen, setChosen] = useState<string[]>([])
  const write = useWrite()
  const add = async () => {
    // As many as the server takes at once, under one txn.
    for (let at = 0; at < chosen.length; at += MOST) {
      const some = chosen.slice(at, at + MOST)
      await write('PATCH', `/groups/${group.id}`, {
        body: { 'members@odata.bind': some.map((id) => `${location.origin}/v1.0/${kind}/${id}`) },
        ...{ done: tn('groups.members.added', some.length, { group: group.displayName }), proof: true, changes: ['groups', 'users'] },
      })
    }
    setChosen([])
  }
  return (
    <Adder label={t('groups.members.addButton')} empty={chosen.length === 0} onAdd={add}>
      <Pick kind={kind} label={t(`groups.members.${kind}`)} value={chosen} onChange={setChosen} multiple without={[group.id]} />
    </Adder>
  )
}

const MOST = 20

function MemberTable({ group, deep }: { group: Group; deep: boolean }) {
  const confirm = useConfirm()
  const write = useWrite()
  const remove = (member: Member) =>
    confirm({
      title: t('groups.members.removeTitle', { name: member.displayName, group: group.displayName }),
      text: isGroup(member)
        ? t('groups.members.removeGroup', { name: member.displayName })
        : t('groups.members.removeText', { name: member.displayName }),
      action: t('groups.members.remove'),
      run: () =>
        write('DELETE', `/groups/${group.id}/members/${member.id}/$ref`, {
          ...{ done: t('groups.members.removed', { name: member.displayName }), proof: true, changes: ['groups', 'users'] },
        }),
    })
  const columns: Column<Member>[] = [
    { header: t('groups.name'), cell: ({ displayName }) => displayName },
    {
      header: t('groups.members.kind'),
      cell: (member) =>
        isGroup(member) ? (
          <Status tone="info">{t('groups.members.isGroup')}</Status>
        ) : member.accountEnabled === false ? (
          <Status tone="bad">{t('users.disabled')}</Status>
        ) : (
          <Status tone="quiet">{t('groups.members.isUser')}</Status>
        ),
    },
    { header: t('users.userPrincipalName'), cell: ({ userPrincipalName }) => userPrincipalName ?? '', wide: true },
    ...(deep
      ? []
      : [
          {
            header: t('groups.members.actions'),
            cell: (member: Member) => (
              <Tooltip label={t('groups.members.removeLabel', { name: member.displayName })}>
                <ActionIcon
                  variant="subtle"
                  color="red"
                  aria-label={t('groups.members.removeLabel', { name: member.displayName })}
                  onClick={() => remove(member)}
                >
                  <Icon name="cross" size={16} />
                </ActionIcon>
              </Tooltip>
            ),
          },
        ]),
  ]
  const list = useList<Member>(
    ['groups', group.id, 'members'],
    `/groups/${group.id}/${deep ? 'transitiveMembers' : 'members'}?$top=50&$select=id,displayName,userPrincipalName,accountEnabled`,
  )
  return (
    <ListTable
      label={t('groups.tabs.members')}
      columns={columns}
      list={list}
      rowKey={({ id }) => id}
      href={(member) => `/${isGroup(member) ? 'groups' : 'users'}/${member.id}`}
      minWidth={380}
      empty={<Empty icon="group" title={t('groups.members.none')} text={t('groups.members.noneText')} />}
    />
  )
}

function isGroup(member: Member): boolean {
  return member['@odata.type'] === '#microsoft.graph.group'
}
