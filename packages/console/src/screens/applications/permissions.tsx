import { ActionIcon, Autocomplete, Button, Group, Stack, Table, Text } from '@mantine/core'
import { useState } from 'react'
import { type Application, applicationPath, useOffered } from '../../api/applications.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Icon } from '../../parts/icon.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Section } from '../../parts/section.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** What it may ask for as a client: in the name of a person, or in its own. Rights in the admin API are only taken back here. */
export function Permissions({ application: { appId, displayName, applicationType, permissions } }: { application: Application }) {
  const write = useWrite()
  const confirm = useConfirm()
  const offered = useOffered()
  const [text, setText] = useState('')
  const { busy, error, work } = useWork()
  const isDaemon = applicationType === 'daemon'
  const save = (next: string[], done: string, proof: boolean) =>
    write('PATCH', applicationPath(appId), { body: { permissions: next }, done, proof, changes: ['applications'] })
  const add = () =>
    work(async () => {
      await save([...permissions, text.trim()], t('applications.permissions.added'), false)
      setText('')
    })
  const remove = (one: string) =>
    confirm({
      ...{ title: t('applications.permissions.removeTitle'), text: t('applications.permissions.removeText', { application: displayName }) },
      affects: [one, ...(one.startsWith('graph/') ? [t('applications.permissions.admin')] : [])],
      action: t('applications.permissions.remove'),
      run: () =>
        save(
          permissions.filter((other) => other !== one),
          t('applications.permissions.removed'),
          true,
        ),
    })
  return (
    <Section
      title={t('applications.permissions.title')}
      text={t(isDaemon ? 'applications.permissions.application' : 'applications.permissions.delegated')}
    >
      {permissions.length === 0 ? (
        <Text size="sm">{t('applications.permissions.none')}</Text>
      ) : (
        <Table verticalSpacing={6} aria-label={t('applications.permissions.title')}>
          <Table.Tbody>
            {permissions.map((one) => (
              <Table.Tr key={one}>
                <Table.Td style={{ overflowWrap: 'anywhere' }}>
                  <code>{one}</code>
                  {one.startsWith('graph/') && (
                    <Text size="xs" c="dimmed">
                      {t('applications.permissions.adminApi')}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td w={48} ta="right">
                  <ActionIcon
                    variant="subtle"
                    color="red"
                    onClick={() => remove(one)}
                    aria-label={t('applications.permissions.removeOne', { name: one })}
                  >
                    <Icon name="trash" />
                  </ActionIcon>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      <form onSubmit={submitting(add)}>
        <Stack gap="sm">
          <Group align="flex-end" gap="sm">
            <Autocomplete
              label={t('applications.permissions.add')}
              description={t('applications.permissions.hint')}
              data={offered.filter((one) => !permissions.includes(one))}
              value={text}
              onChange={setText}
              placeholder="api://files/Files.Read"
              style={{ flex: '1 1 18rem', maxWidth: '30rem' }}
            />
            <Button type="submit" variant="default" loading={busy} disabled={text.trim() === '' || permissions.includes(text.trim())}>
              {t('applications.permissions.addAction')}
            </Button>
          </Group>
          {Boolean(error) && <Problem error={error} />}
        </Stack>
      </form>
    </Section>
  )
}
